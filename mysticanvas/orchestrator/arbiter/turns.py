"""Whose turn it is to make room, and in whose hands the device is meanwhile."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Literal

from mysticanvas.errors import JobCancelled

LOOK_S = 0.5
"""Between two looks at whether a worker that is waited for is done, or whoever waits is stopped."""

Stopped = Callable[[], bool]
"""Whether what is waited for is wanted no longer."""


class Turns:
    """Requests for room come one after another, and keep their turn while they wait for somebody's
    job, or whoever came later would always be first. The device they let go of then, so that others
    can give back what they have."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        """Notified of all that may be news to who waits."""
        self._taken: set[str] = set()

    def next(self, stopped: Stopped) -> AbstractContextManager[None]:
        """The turn of a request.

        Raises:
            JobCancelled: it was stopped before.
        """
        return self._having("turn", stopped)

    def at_work(self, stopped: Stopped) -> AbstractContextManager[None]:
        """The device, for who changes what is on it; not while anybody's job is waited for.

        Raises:
            JobCancelled: it was stopped before.
        """
        return self._having("device", stopped)

    def look_again(self) -> None:
        """Wait until something may have changed; not with the device in hand."""
        with self.changed:
            self.changed.wait(LOOK_S)

    @contextlib.contextmanager
    def _having(self, what: Literal["turn", "device"], stopped: Stopped) -> Iterator[None]:
        require_wanted(stopped)
        while not self._took(what):
            # Not under the lock: the answer may come from a thread that wants it.
            require_wanted(stopped)
        try:
            yield
        finally:
            with self.changed:
                self._taken.remove(what)
                self.changed.notify_all()

    def _took(self, what: str) -> bool:
        """Take it, if it is free within a look."""
        with self.changed:
            if what in self._taken:
                self.changed.wait(LOOK_S)
            if what in self._taken:
                return False
            self._taken.add(what)
            return True


def require_wanted(stopped: Stopped) -> None:
    """Raises:
    JobCancelled: it is wanted no longer.
    """
    if stopped():
        raise JobCancelled("The job was cancelled while it waited for memory.")
