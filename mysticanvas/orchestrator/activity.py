"""When the orchestrator was last of use: decides its idle exit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_SHORTEST_CHECK_S = 0.05


class Activity:
    """Remembers the last request or job, and calls `on_idle` when the last was long ago.

    Args:
        timeout_s: seconds that count as long.
        in_use: whether a listener or a job keeps the process now.
        on_idle: called once, on a thread of its own; returns whether the process ends.
    """

    def __init__(
        self, timeout_s: float, in_use: Callable[[], bool], on_idle: Callable[[], bool]
    ) -> None:
        self._timeout_s = timeout_s
        self._in_use = in_use
        self._on_idle = on_idle
        self._last = time.monotonic()
        self._stopped = threading.Event()

    def touch(self) -> None:
        """Note that something was asked for."""
        self._last = time.monotonic()

    @property
    def idle(self) -> bool:
        """Whether nothing happened for the whole time-out."""
        if self._in_use():
            self.touch()
        return time.monotonic() - self._last >= self._timeout_s

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._watch, name="idle-watch", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()

    def _watch(self) -> None:
        every = max(_SHORTEST_CHECK_S, min(1.0, self._timeout_s / 4))
        while not self._stopped.wait(every):
            if self.idle and self._on_idle():
                return
