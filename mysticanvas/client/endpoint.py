"""Where an orchestrator is, and whether it is still the one that we mean."""

from __future__ import annotations

import sys
from typing import NamedTuple

from mysticanvas import processes, transport
from mysticanvas.processes import Holding, Identity


class Endpoint(NamedTuple):
    """An address with its token, and whose it is.

    `identity` is None for an address that the user gave: its process may be on another machine.
    """

    url: str
    token: str
    identity: Identity | None = None
    listener: Holding | None = None
    """The socket that the process listens on, where the system tells."""

    def alive(self) -> bool:
        """Whether the token may be sent there. A port that was given up may have a new owner.

        Asked of an open connection it is certain: while the process has its socket nobody else can
        listen there, so it is the process that the connection leads to.
        """
        if self.identity is None:
            return True
        if self.listener is None:
            # On Linux, who listens on a port tells by which socket.
            held = sys.platform != "linux" or not transport.is_loopback(self.url)
        else:
            held = self.listener.held_by(self.identity.pid)
        return held and self.identity.alive()

    def connect(self, timeout_s: float) -> transport.Connection | None:
        """A connection that leads to that very process; None for an address of another kind.

        Raises:
            OSError: nobody answers there, or somebody else.
        """
        if self.identity is None or not transport.is_loopback(self.url):
            return None
        connection = transport.connect(self.url, timeout_s)
        if self.alive():
            return connection
        connection.close()
        raise ConnectionRefusedError(f"{self.url} is no longer that of process {self.identity.pid}")

    def wait_gone(self, timeout_s: float) -> bool:
        """Wait until nothing may be sent there any more; whether that came in time."""
        if self.identity is None:
            return False  # it cannot be told
        return processes.wait_gone(self.alive, timeout_s)
