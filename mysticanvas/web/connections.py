"""What a connection may take of us before the gate lets it in: bytes, time, and a place among many.

Anybody on the machine can connect to a port, and a head is read before the gate can look at it.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any, NamedTuple

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MOST_CONNECTIONS = 512
"""Of a kernel, one is its event stream, and its calls at one time have one each."""
_LET_IN = "mysticanvas.let_in"


def most_connections(descriptors: int) -> int:
    """How many connections a process may have that can open so many descriptors: files need some,
    too."""
    if descriptors == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return min(_MOST_CONNECTIONS, descriptors // 2)


def let_in(scope: Scope) -> None:
    """Tell the connection of a request that the gate has let it in."""
    tell = scope.get("extensions", {}).get(_LET_IN)
    if tell is not None:
        tell()


class Limits(NamedTuple):
    """Of the connections of a server."""

    connections: int = most_connections(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    """If there are more, that goes which has been there longest without being let in."""
    head_bytes: int = 64 << 10
    """Of the line and the headers of a request."""
    strange_s: float = 10.0
    """Seconds in which a request has to be let in, from the connection or the last one that was."""


LIMITS = Limits()


class Connection(HttpToolsProtocol):
    """uvicorn's, within limits. What goes beyond them is closed without a word."""

    def __init__(self, *args: Any, limits: Limits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._in_head = False
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        """By when a request has to be let in; None while one is carried out."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._give_time()
        if len(self.connections) > self._limits.connections:
            self._longest_strange().drop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._let_in()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # In pieces, so that a long head is noticed before all of it is parsed.
        size = self._limits.head_bytes
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            super().data_received(piece)
            # Closed, or a WebSocket by now.
            if self.transport.is_closing() or self.transport.get_protocol() is not self:
                return
            if self._in_head:
                self._head_bytes += len(piece)
                if self._head_bytes > size:
                    self.drop()
                    return

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()
        self.scope["extensions"] = {_LET_IN: self._let_in}  # type: ignore[dict-item]  # no data

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        # From here on it is another protocol's, which closes what it refuses.
        self._let_in()
        super().handle_websocket_upgrade()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # Who was not let in gets no more time; and the next request may be there already.
        if self._deadline is None and self.cycle.response_complete:
            self._give_time()

    def drop(self) -> None:
        """Close the connection at once."""
        self._let_in()
        # It counts no longer, though the loop closes it a little later.
        self.connections.discard(self)
        self.transport.abort()

    def _give_time(self) -> None:
        self._deadline = self.loop.call_later(self._limits.strange_s, self.drop)

    def _let_in(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _longest_strange(self) -> Connection:
        """Of all, the one whose time is over first; that may be this one."""
        deadlines = {
            other: other._deadline.when()
            for other in self.connections
            if isinstance(other, Connection) and other._deadline is not None
        }
        return min(deadlines, key=deadlines.__getitem__)
