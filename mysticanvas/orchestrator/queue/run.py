"""One run of a job: how far it is, and whether somebody ended it."""

from __future__ import annotations

import threading
import time
from typing import Any

from mysticanvas.contracts.events import EventType
from mysticanvas.contracts.jobs import WORKER_KINDS, Progress
from mysticanvas.orchestrator.events import Bus
from mysticanvas.orchestrator.queue import eta
from mysticanvas.orchestrator.queue.past import Past
from mysticanvas.orchestrator.queue.retry import Failure
from mysticanvas.store import StoredJob

LOADING = "load"
"""The stage that a job begins with."""


class Run:
    """An attempt that is under way. Subclasses carry it out.

    Args:
        job: as it was claimed.
        bus: where its progress goes.
    """

    def __init__(self, job: StoredJob, bus: Bus) -> None:
        self.job = job
        self.bus = bus
        self.past = Past()
        """The attempts before."""
        self._progress = Progress(stage=LOADING)
        self._began = time.monotonic()
        self._stage_began = (0.0, 0.0)
        self.stopped = False
        self.stop_reason: Failure | None = None
        self.ended = False
        """Whether its outcome is known, so that it cannot be stopped any more."""
        self.lock = threading.Lock()

    @property
    def id(self) -> str:
        return self.job.record.id

    @property
    def attempt(self) -> int:
        return self.job.record.attempts

    @property
    def on_worker(self) -> bool:
        """Whether a worker carries it out, not this process."""
        return self.job.record.kind in WORKER_KINDS

    @property
    def has_begun(self) -> bool:
        """Whether there is work that has to come to its end before the run does."""
        return True

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return self._progress

    @progress.setter
    def progress(self, progress: Progress) -> None:
        if progress.stage != self._progress.stage:
            self._stage_began = (progress.fraction, self.elapsed_s)
        self._progress = progress

    def left_s(self, typical_s: float | None = None) -> float | None:
        """Seconds that it is likely to need still; None where that cannot be told.

        Args:
            typical_s: how long others took.
        """
        return eta.running_s(self._progress.fraction, self.elapsed_s, typical_s, self._stage_began)

    @property
    def cancelled(self) -> bool:
        """Whether a user ended it."""
        return self.stopped and self.stop_reason is None

    def stop(self, reason: Failure | None) -> None:
        """End the run, from any thread.

        Args:
            reason: None if a user cancels it, which outweighs whatever it is being stopped for.
        """
        with self.lock:
            if self.ended:
                return
            if not self.stopped:
                self.stopped, self.stop_reason = True, reason
                self.interrupt()
            elif reason is None:
                self.stop_reason = None

    def interrupt(self) -> None:
        """Have the work end soon; called once, under the lock, and must not block."""

    def end(self) -> bool:
        """Close the run to stops, its work being done; whether none came before."""
        with self.lock:
            self.ended = not self.stopped
            return self.ended

    def advance(self, progress: Progress) -> None:
        """Take in and tell how far it is."""
        self.progress = progress
        self.tell("progress", {**progress.model_dump(), "eta_s": self.left_s()})

    def tell(self, kind: EventType, data: dict[str, Any]) -> None:
        """Publish something of which only the newest counts."""
        self.bus.publish_latest(kind, self.id, {"job_id": self.id, **data})
