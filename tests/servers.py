"""A server of ours, of whichever kind, as tests talk to it."""

from __future__ import annotations

from typing import NamedTuple

import httpx
from http_client import client


class Server(NamedTuple):
    """A process that answers, and how to ask it."""

    kind: str
    url: str
    token: str
    pid: int

    def client(self, token: str | None = None) -> httpx.Client:
        """A client with this token, or the right one."""
        given = self.token if token is None else token
        return client(self.url, given)
