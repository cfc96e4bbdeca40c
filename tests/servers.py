"""A server of ours, of whichever kind, as tests talk to it."""

from __future__ import annotations

from typing import NamedTuple

import httpx

from mysticanvas import transport


class Server(NamedTuple):
    """A process that answers, and how to ask it."""

    kind: str
    url: str
    token: str
    pid: int

    def client(self, token: str | None = None) -> httpx.Client:
        """A client with this token, or the right one."""
        given = self.token if token is None else token
        return transport.client(self.url, given, httpx.Timeout(60))
