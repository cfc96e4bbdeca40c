"""Who is inside: decides the idle exit, and lets nobody in once it is decided.

Both are one decision under one lock, so a request is either carried out or refused in whole; who
is refused waits for the end and starts the next orchestrator.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from mysticanvas.errors import MystiCanvasError, OrchestratorUnavailable
from mysticanvas.orchestrator.periodic import Periodic

_SHORTEST_CHECK_S = 0.05


class Activity(Periodic):
    """Counts the requests and event streams that are under way; implements `web.Visits`.

    Args:
        timeout_s: seconds without any, and without work, after which the process ends.
        working: whether a job keeps the process now.
        on_idle: called when it is to end, on a thread of its own.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        timeout_s: float,
        working: Callable[[], bool],
        on_idle: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("idle-watch", max(_SHORTEST_CHECK_S, min(1.0, timeout_s / 4)))
        self._timeout_s = timeout_s
        self._working = working
        self._on_idle = on_idle
        self._clock = clock
        self._lock = threading.Lock()
        self._inside = 0
        self._last = clock()
        self._closed = False

    def enter(self) -> MystiCanvasError | None:
        """A request wants in; why it may not, or None, and then `leave` has to follow."""
        with self._lock:
            if self._closed:
                return OrchestratorUnavailable("The orchestrator is stopping.", hint="Ask again.")
            self._inside += 1
            return None

    def leave(self) -> None:
        """A request that was let in is over."""
        with self._lock:
            self._inside -= 1
            self._last = self._clock()

    def close(self) -> None:
        """Let nobody in from here on."""
        with self._lock:
            self._closed = True

    def close_if_idle(self) -> bool:
        """Let nobody in any more if nothing has happened for the whole time-out; whether so."""
        with self._lock:
            if self._inside or self._working():
                self._last = self._clock()
                return False
            self._closed |= self._clock() - self._last >= self._timeout_s
            return self._closed

    def look(self) -> None:
        if self.close_if_idle():
            self._on_idle()
