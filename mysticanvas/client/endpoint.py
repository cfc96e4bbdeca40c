"""Where an orchestrator is, and whether it is still the one that we mean."""

from __future__ import annotations

from typing import NamedTuple

from mysticanvas.processes import Identity


class Endpoint(NamedTuple):
    """An address with its token, and whose it is.

    `identity` is None for an address that the user gave: its process may be on another machine.
    """

    url: str
    token: str
    identity: Identity | None = None

    def alive(self) -> bool:
        """Whether the token may be sent there. A dead process's port may have a new owner."""
        return self.identity is None or self.identity.alive()
