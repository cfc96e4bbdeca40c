"""Keeps every job of a connection up to date from its event stream."""

from __future__ import annotations

import contextlib
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
    from mysticanvas.contracts.jobs import JobPage, JobRecord
    from mysticanvas.session.tracker import JobTracker

# What takes long to import waits for the first job: a canvas that attaches makes a Following.

_log = logging.getLogger(__name__)

_RECENT = 64
"""Records kept of jobs that nobody follows yet: the event may come before the answer."""
_ASKED_AFTER = 8
"""Silent jobs that are asked after at once while events arrive, which wait meanwhile."""
_PAGED = 16
"""Jobs for which a page is asked rather than each of them: what the one costs is about that."""


class Paused(Exception):
    """Nothing is asked now: the orchestrator is being stopped. Never leaves the event thread."""


class Following:
    """The jobs that somebody holds, by id; thread-safe.

    Args:
        fetch: gets a job from the orchestrator, which may start one.
        page: gets a page of all jobs, newest first, that to which the cursor leads.
    """

    def __init__(
        self, fetch: Callable[[str], JobRecord], page: Callable[[str | None], JobPage]
    ) -> None:
        self._fetch = fetch
        self._page = page
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
            # Behind a hello of the same orchestrator comes all that was missed.
            gap = event.type == "resync" or event.epoch != self._epoch
            self._be_told_by(event.epoch)
            if gap:
                self._refresh(self._live())
        elif event.type == "job":
            self._take_record(event)
        elif event.type == "queue":
            # Paused or resumed, which is in the record of every job that waits.
            for live in self._live():
                live.pause(bool(event.data.get("paused")))
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
        # Whether those who wait do so in vain is told once it is stopped.
        with contextlib.suppress(Paused):
            for tracker in self._not_on_pages(trackers):
                self._ask_after(tracker)

    def _ask_after(self, tracker: JobTracker) -> None:
        try:
            tracker.update(self._fetch(tracker.record.id))
        except MystiCanvasError as error:
            _log.debug("job %s cannot be followed: %s", tracker.record.id, error)
            tracker.fail(error)

    def _not_on_pages(self, trackers: list[JobTracker]) -> list[JobTracker]:
        """Those that have to be asked after one by one: many are found on pages of the newest jobs,
        as long as these cost no more."""
        left = {tracker.record.id: tracker for tracker in trackers}
        cursor: str | None = None
        for _ in range(len(trackers) // _PAGED):
            try:
                page = self._page(cursor)
            except MystiCanvasError as error:
                _log.debug("jobs cannot be listed: %s", error)
                break
            for record in page.items:
                if tracker := left.pop(record.id, None):
                    tracker.update(record)
            cursor = page.next_cursor
            if cursor is None or not left:
                break
        return list(left.values())

    def _live(self) -> list[JobTracker]:
        """Those whose job goes on."""
        with self._lock:
            return [t for t in self._trackers.values() if not t.record.status.final]


def _interrupted(job_id: str) -> OrchestratorUnavailable:
    return OrchestratorUnavailable(
        f"The orchestrator was stopped before job {short(job_id)} ended.",
        hint="The job goes on with the next start; to wait for it again starts it.",
    )
