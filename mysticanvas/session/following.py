"""Keeps every job of a connection up to date from its event stream."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from mysticanvas.client.events import TICK_S
from mysticanvas.contracts.events import Event
from mysticanvas.contracts.ids import short
from mysticanvas.errors import MystiCanvasError, OrchestratorUnavailable

if TYPE_CHECKING:
    from mysticanvas.contracts.jobs import JobRecord
    from mysticanvas.session.tracker import JobTracker

# What takes long to import waits for the first job: a canvas that attaches makes a Following.

_log = logging.getLogger(__name__)

_RECENT = 64
"""Records kept of jobs that nobody follows yet: the event may come before the answer."""
_ASKED_AFTER = 8
"""Silent jobs that are asked after at once while events arrive, which wait meanwhile."""


class Following:
    """The jobs that somebody holds, by id; thread-safe.

    Args:
        fetch: gets a job from the orchestrator, which may start one.
    """

    def __init__(self, fetch: Callable[[str], JobRecord]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._trackers: weakref.WeakValueDictionary[str, JobTracker] = weakref.WeakValueDictionary()
        self._recent: OrderedDict[str, JobRecord] = OrderedDict()
        self._closed = False
        self._epoch = ""

    def follow(self, record: JobRecord) -> JobTracker:
        """The tracker of a job, shared by all who hold the job; one of its own for an answer that
        pictures were there: it has the id of the job that made them, and is not that job's record.
        """
        from mysticanvas.session.tracker import JobTracker

        if record.reused:
            return JobTracker(record)
        with self._lock:
            tracker = self._trackers.get(record.id)
            if tracker is None:
                tracker = self._trackers[record.id] = JobTracker(record)
            newer = self._recent.pop(record.id, record)
            closed = self._closed
        tracker.update(newer)
        if closed:
            tracker.close()
        return tracker

    def close(self) -> None:
        """Follow nothing any more: whoever waits for a job, now or later, is told so."""
        with self._lock:
            self._closed = True
        for tracker in self._live():
            tracker.close()

    def interrupt(self) -> None:
        """Have those who wait for a job now do so no longer: its orchestrator is being stopped."""
        for tracker in self._live():
            tracker.fail(_interrupted(tracker.record.id))

    def take(self, event: Event) -> None:
        """Take in an event; after a gap, fetch again what is followed."""
        if event.type in ("hello", "resync"):
            self._be_told_by(event.epoch)
            self._refresh(self._live())
        elif event.type == "job":
            self._take_record(event)
        elif event.type == "queue":
            # Paused or resumed, which is in the record of every job that waits.
            self._refresh([job for job in self._live() if job.record.status == "queued"])
        elif event.type == "alert":
            for live in self._live():
                live.alert(str(event.data.get("message", "")))
        elif event.type in ("progress", "preview"):
            with self._lock:
                tracker = self._trackers.get(str(event.data.get("job_id")))
            if tracker is not None:
                tracker.advance(event)

    def _be_told_by(self, epoch: str) -> None:
        """Begin anew if that is another orchestrator: its store may be that of a backup."""
        if self._epoch not in ("", epoch):
            with self._lock:
                self._recent.clear()
            for tracker in self._live():
                tracker.doubt()
        self._epoch = epoch

    def _take_record(self, event: Event) -> None:
        from mysticanvas.contracts.jobs import JobRecord

        record = JobRecord.model_validate(event.data)
        with self._lock:
            tracker = self._trackers.get(record.id)
            if tracker is None:
                self._recent[record.id] = record
                if len(self._recent) > _RECENT:
                    self._recent.popitem(last=False)
        if tracker is not None:
            tracker.update(record, event)

    def tick(self, connected: bool) -> None:
        """Ask after jobs that somebody waits for: all without a stream, else those longest silent,
        a few at a time."""
        waited_for = [job for job in self._live() if job.waited_for]
        if connected:
            long_ago = time.monotonic() - TICK_S
            silent = [job for job in waited_for if job.heard_at < long_ago]
            waited_for = sorted(silent, key=lambda job: job.heard_at)[:_ASKED_AFTER]
        self._refresh(waited_for)

    def _refresh(self, trackers: list[JobTracker]) -> None:
        for tracker in trackers:
            try:
                tracker.update(self._fetch(tracker.record.id))
            except MystiCanvasError as error:
                _log.debug("job %s cannot be followed: %s", tracker.record.id, error)
                tracker.fail(error)

    def _live(self) -> list[JobTracker]:
        """Those whose job goes on."""
        with self._lock:
            return [t for t in self._trackers.values() if not t.record.status.final]


def _interrupted(job_id: str) -> OrchestratorUnavailable:
    return OrchestratorUnavailable(
        f"The orchestrator was stopped before job {short(job_id)} ended.",
        hint="The job goes on with the next start; to wait for it again starts it.",
    )
