"""Connections to one address that are kept open between calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mysticanvas import transport

if TYPE_CHECKING:
    from http.client import HTTPConnection

_CONNECT_S = 5.0


class Pool:
    """Lends connections; thread-safe, since whoever has one has it alone.

    Args:
        url: the address.
        trusted: asked of each new connection before anything is sent: whether it leads there.
    """

    def __init__(self, url: str, trusted: Callable[[], bool]) -> None:
        self._url = url
        self._trusted = trusted
        self._lock = threading.Lock()
        self._idle: list[HTTPConnection] = []
        self._closed = False

    @contextmanager
    def lent(self) -> Iterator[HTTPConnection]:
        """A connection for one call, whose answer has to be read to its end.

        Raises:
            OSError: nobody answers there, or somebody else; or the pool is closed.
        """
        connection = self._kept() or self._new()
        try:
            yield connection
        except BaseException:
            # What is left of an answer would be taken for the next one.
            connection.close()
            raise
        self._keep(connection)

    def close(self) -> None:
        """Close what is idle now, and what is lent when it comes back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _kept(self) -> HTTPConnection | None:
        """The connection that was used last: others may have been idle for too long."""
        while True:
            with self._lock:
                if self._closed:
                    raise ConnectionAbortedError("the client was closed")
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if transport.is_silent(connection):
                return connection
            connection.close()

    def _new(self) -> HTTPConnection:
        connection = transport.http_connection(self._url, _CONNECT_S)
        # Asked when it stands, since a look beforehand could be overtaken.
        if self._trusted():
            return connection
        connection.close()
        raise ConnectionRefusedError("somebody else answers at the orchestrator's address")

    def _keep(self, connection: HTTPConnection) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()
