"""What the queue does for itself, now and then: signs of life, rescue, retention; that of what was
found out for its jobs, too."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from mysticanvas import logs
from mysticanvas.orchestrator.periodic import Periodic
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.store import Store

_log = logs.get(__name__)
EVERY_S = 15.0
_PRUNE_EVERY_S = 3600.0
_PRUNED_AT_ONCE = 500


class Upkeep(Periodic):
    """Looks after the jobs of a store.

    Args:
        transitions, store: the jobs.
        keep_internal_days: days after which an internal job that has ended is forgotten.
    """

    def __init__(self, transitions: Transitions, store: Store, keep_internal_days: float) -> None:
        super().__init__("queue-upkeep", EVERY_S)
        self._transitions = transitions
        self._store = store
        self._keep = timedelta(days=keep_internal_days)
        self._prune_at = time.monotonic() + EVERY_S

    def look(self) -> None:
        self.beat()
        self._transitions.rescue()
        if time.monotonic() >= self._prune_at:
            self.prune()

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
        if profiles := self._store.profiles.prune():
            _log.info("unused_profiles_forgotten", profiles=profiles)
