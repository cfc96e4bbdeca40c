"""What the orchestrator gives itself to do: the index, thumbnails, the backup of the day, what
presets weigh.

Each is a job of its own kind, so it waits for what somebody asked for, can be seen and cancelled,
and goes on after a restart.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import NamedTuple

from mysticanvas.contracts.jobs import HostKind
from mysticanvas.orchestrator.periodic import Periodic
from mysticanvas.store import Store

LOOK_S = 1.0
"""Seconds between two looks; where nothing was committed, a look costs nothing."""
SETTLED_S = 60.0
"""Seconds after the start when whoever started us has their first picture, and the rest begins."""
QUIET_S = 20.0
"""Seconds without a new picture after which thumbnails are made."""
LONGEST_S = 600.0
"""Seconds that thumbnails wait at most while pictures keep coming, and that it is tried to weigh
presets while the worker has not said what it computes on."""
SWEEP_S = 6 * 3600.0
"""Seconds after which files are looked through although no picture came."""
SAVED_S = 5.0
"""Seconds after which a preset that was saved is weighed; a job with it would have told."""
AGAIN_S = {"index": 30.0, "backup": 3600.0, "thumbnails": QUIET_S, "weigh": 30.0}
"""Seconds between two jobs of a kind at least, since one may have failed."""


class State(NamedTuple):
    """What is known at a look."""

    up_s: float
    """Seconds since the start."""
    quiet_s: float
    """Seconds since the last picture."""
    since_s: Mapping[str, float]
    """Kind -> seconds since such a job was queued last; those never queued are not there."""
    unindexed: bool
    """Whether the index has a step to take."""
    unsaved: bool
    """Whether the backup of today is missing, and would have something that no other has."""
    unfiled: bool
    """Whether pictures came since the last job for thumbnails."""
    unweighed_s: float | None = None
    """Seconds for which there has been a preset of which it is not known what it weighs."""


def due(state: State) -> list[HostKind]:
    """The kinds of jobs to queue now."""
    files_s = state.since_s.get("thumbnails", math.inf)
    settled = state.up_s >= SETTLED_S
    waited = state.quiet_s >= QUIET_S or files_s >= LONGEST_S
    wanted: dict[HostKind, bool] = {
        "index": state.unindexed,
        "backup": settled and state.unsaved,
        # Files change while nobody looks, so all presets are looked at now and then.
        "weigh": settled
        and (
            SAVED_S <= (state.unweighed_s or 0.0) < LONGEST_S
            or state.since_s.get("weigh", math.inf) >= SWEEP_S
        ),
        "thumbnails": settled and (files_s >= SWEEP_S or (state.unfiled and waited)),
    }
    return [
        kind
        for kind, is_wanted in wanted.items()
        if is_wanted and state.since_s.get(kind, math.inf) >= AGAIN_S[kind]
    ]


class Housekeeping(Periodic):
    """Queues what is due.

    Args:
        store: what is looked at.
        queue: queues a job of a kind, unless one waits.
        look_s: seconds between two looks.
    """

    def __init__(
        self, store: Store, queue: Callable[[HostKind], None], look_s: float = LOOK_S
    ) -> None:
        super().__init__("housekeeping", look_s)
        self._store = store
        self._queue = queue
        self._began = self._newest_at = time.monotonic()
        self._queued_at: dict[str, float] = {}
        self._commits = -1
        self._unindexed = False
        self._newest = self._filed = 0
        self._saved_on: date | None = None
        self._behind_on: date | None = None
        self._compared: tuple[date, int] | None = None
        self._unweighed: set[str] = set()
        self._unweighed_at: float | None = None

    def look(self) -> None:
        for kind in due(self._state(time.monotonic())):
            self._queued_at[kind] = time.monotonic()
            self._queue(kind)
            if kind == "thumbnails":
                self._filed = self._newest

    def _state(self, now: float) -> State:
        commits = self._store.database.commits
        if commits != self._commits:
            self._unindexed = self._store.search.behind()
            newest = self._store.files.last_seq()
            if newest != self._newest:
                self._newest, self._newest_at = newest, now
            self._note_unweighed(now)
            self._commits = commits
        return State(
            up_s=now - self._began,
            quiet_s=now - self._newest_at,
            since_s={kind: now - at for kind, at in self._queued_at.items()},
            unindexed=self._unindexed,
            unsaved=self._newest > 0 and self._unsaved(datetime.now(UTC).date()),
            unfiled=self._newest != self._filed,
            unweighed_s=None if self._unweighed_at is None else now - self._unweighed_at,
        )

    def _note_unweighed(self, now: float) -> None:
        unweighed = {
            f"{kind} {name}"
            for kind, weighed in (
                ("image", self._store.presets.weighed()),
                ("llm", self._store.llm_presets.weighed()),
            )
            for name, of in weighed.items()
            if of is None
        }
        if not unweighed:
            self._unweighed_at = None
        elif not unweighed <= self._unweighed:
            self._unweighed_at = now
        self._unweighed = unweighed

    def _unsaved(self, today: date) -> bool:
        if self._saved_on == today:
            return False
        if self._store.backups.has(today):
            self._saved_on = today
            return False
        # What the last backup lacks, it lacks until there is another.
        if self._behind_on != today and self._compared != (today, self._commits):
            self._compared = today, self._commits
            self._behind_on = today if self._store.backups.behind() else None
        return self._behind_on == today
