"""The connections of this process to one orchestrator, which stand still while it is stopped."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mysticanvas.session.connection import Connection

# Kept by identity, and read by `valuerefs`, which copies at once: no lock that a fork could keep.
_connections: weakref.WeakValueDictionary[int, Connection] = weakref.WeakValueDictionary()


def join(connection: Connection) -> None:
    """Count a connection among those of this process, for as long as somebody holds it."""
    _connections[id(connection)] = connection


def of(connection: Connection) -> list[Connection]:
    """The connections of this process to the same orchestrator, this one among them."""
    places = connection.places()
    held = [there for reference in _connections.valuerefs() if (there := reference()) is not None]
    return [each for each in held if each.pid == os.getpid() and places & each.places()]


@contextlib.contextmanager
def paused(connection: Connection) -> Iterator[list[Connection]]:
    """Have nothing start an orchestrator on behalf of those who wait while it is being stopped. In
    the end they are told so; if it is not stopped, they wait on.

    Gives the others, which hear of the next orchestrator once they are resumed.
    """
    siblings = of(connection)
    try:
        for each in siblings:
            each.pause()
        yield [each for each in siblings if each is not connection]
    except BaseException:
        for each in siblings:
            each.resume()
        raise
    for each in siblings:
        each.interrupt()
