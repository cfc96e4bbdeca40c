"""What whoever started this process hears while a start takes long: that it is at work."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

_EVERY_S = 1.0
"""Often enough for any limit, and seldom enough to fill no pipe that nobody reads."""


class Signs:
    """Puts spaces before the report, which JSON passes over.

    Args:
        ready_fd: the descriptor of the report.
        clock: seconds that never go back.
    """

    def __init__(self, ready_fd: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._fd = ready_fd
        self._clock = clock
        self._last = clock()

    def give(self) -> None:
        """Say that something was done. To be called from what does it, and from no timer: a start
        that hangs has to be silent."""
        if self._clock() - self._last >= _EVERY_S:
            self._last = self._clock()
            # Whoever waited may be gone.
            with contextlib.suppress(OSError):
                os.write(self._fd, b" ")
