"""For what anybody may cause in a loop, and what is to leave something of a log all the same."""

from __future__ import annotations

import time
from collections.abc import Callable


class Seldom:
    """Lets one through a second, and counts the others.

    Args:
        clock: seconds, for tests.
    """

    def __init__(self, every_s: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s, self._clock = every_s, clock
        self._next = clock()
        self._held_back = 0

    def pass_on(self) -> int | None:
        """How many were held back since the last that went through; None if this one is, too."""
        now = self._clock()
        if now < self._next:
            self._held_back += 1
            return None
        self._next = now + self._every_s
        held_back, self._held_back = self._held_back, 0
        return held_back
