"""What the queue does for itself, now and then: signs of life, rescue, retention."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from mysticanvas import logs
from mysticanvas.errors import StoreError
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.store import Store

_log = logs.get(__name__)
EVERY_S = 15.0
_PRUNE_EVERY_S = 3600.0
_PRUNED_AT_ONCE = 500


class Upkeep:
    """A thread that looks after the jobs of a store until it is stopped.

    Args:
        transitions, store: the jobs.
        keep_internal_days: days after which an internal job that has ended is forgotten.
    """

    def __init__(self, transitions: Transitions, store: Store, keep_internal_days: float) -> None:
        self._transitions = transitions
        self._store = store
        self._keep = timedelta(days=keep_internal_days)
        self._prune_at = time.monotonic() + EVERY_S
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="queue-upkeep", daemon=True)

    def start(self) -> None:
        """Begin, on a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        while not self._stopping.wait(EVERY_S):
            try:
                self.beat()
                self._transitions.rescue()
                if time.monotonic() >= self._prune_at:
                    self.prune()
            except StoreError:
                _log.exception("upkeep_failed")

    def beat(self) -> None:
        """Note that what runs here is being worked on."""
        for run in self._transitions.runs():
            self._store.jobs.heartbeat(run.id)

    def prune(self) -> None:
        """Forget some old internal jobs; soon again if there are more."""
        gone = self._store.jobs.prune(datetime.now(UTC) - self._keep, _PRUNED_AT_ONCE)
        self._prune_at = time.monotonic() + (0 if gone == _PRUNED_AT_ONCE else _PRUNE_EVERY_S)
        if gone:
            _log.info("old_jobs_forgotten", jobs=gone)
