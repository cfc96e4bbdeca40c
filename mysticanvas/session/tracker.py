"""What this kernel knows about one job, kept up to date from any thread."""

from __future__ import annotations

import base64
import binascii
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

from mysticanvas.contracts.events import Event
from mysticanvas.contracts.ids import short
from mysticanvas.contracts.jobs import JobRecord, JobStatus, Progress
from mysticanvas.errors import OrchestratorUnavailable

Listener = Callable[[Event | None], None]
"""Called with each event of a job; with None when there will be no more."""


class Snapshot(NamedTuple):
    """A job at one moment."""

    record: JobRecord
    progress: Progress
    preview: bytes | None
    """The newest preview as WebP; None if nobody asked for any."""
    alerts: tuple[str, ...] = ()
    """What users were told meanwhile, such as the crash of a worker; oldest first."""
    eta_s: float | None = None
    """Seconds until it is likely to be done, as was told with the progress."""


class JobTracker:
    """One job: its record, its progress, and who waits for it. Thread-safe.

    Args:
        record: the job as the orchestrator answered it.
    """

    def __init__(self, record: JobRecord) -> None:
        self._lock = threading.Lock()
        self._record = record
        self._progress = record.progress or Progress(stage="queue")
        self._eta_s: float | None = None
        self._preview: bytes | None = None
        self._alerts: tuple[str, ...] = ()
        self._futures: list[Future[JobRecord]] = []
        self._listeners: list[Listener] = []
        self._closed = False
        self._doubted = False
        self.heard_at = time.monotonic()
        """When it was last heard of, on the monotonic clock."""

    @property
    def record(self) -> JobRecord:
        return self._record

    @property
    def settled(self) -> bool:
        """Whether nothing more will be heard of it: it has ended, or the canvas is closed."""
        return self._record.status.final or self._closed

    @property
    def snapshot(self) -> Snapshot:
        with self._lock:
            return Snapshot(self._record, self._progress, self._preview, self._alerts, self._eta_s)

    @property
    def waited_for(self) -> bool:
        """Whether anybody needs to know how it ends."""
        with self._lock:
            return bool(self._listeners) or any(not f.cancelled() for f in self._futures)

    def future(self) -> Future[JobRecord]:
        """The final record, once there is one; cancel the future to stop waiting."""
        future: Future[JobRecord] = Future()
        with self._lock:
            final, settled = self._record.status.final, self.settled
            if not settled:
                self._futures = [f for f in self._futures if not f.cancelled()] + [future]
        if final:
            future.set_result(self._record)
        elif settled:
            future.set_exception(_closed(self._record.id))
        return future

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every event from now on; returns what ends that.

        The first is the job as it is now. It is called under the tracker's lock: it must only
        hand the event on.
        """
        with self._lock:
            listener(Event(epoch="", type="job", data=self._record.model_dump(mode="json")))
            if self.settled:
                listener(None)
            else:
                self._listeners.append(listener)
        return lambda: self._forget(listener)

    def doubt(self) -> None:
        """Have the next record replace what is known unless that is final: another orchestrator
        says it, whose store may be of an earlier time, so that attempts cannot be compared."""
        self._doubted = True

    def update(self, record: JobRecord, event: Event | None = None) -> None:
        """Take in a record, unless what is known is newer: an event may have overtaken an answer,
        and the other way round."""
        with self._lock:
            self.heard_at = time.monotonic()
            known = self._record
            if known.status.final if self._doubted else _overtaken(record, known):
                return
            self._doubted = False
            changed = record.status != self._record.status
            if record.status is JobStatus.QUEUED or record.attempts != self._record.attempts:
                # What the attempt before had done is lost.
                self._progress, self._preview = Progress(stage="queue"), None
                self._eta_s = None
            self._record = record
            if record.progress is not None:
                self._progress = record.progress
            if event is None and changed:
                event = Event(epoch="", type="job", data=record.model_dump(mode="json"))
            self._tell(event)
            if not record.status.final:
                return
            self._tell_end()
            futures, self._futures = self._futures, []
        for future in futures:
            if future.set_running_or_notify_cancel():
                future.set_result(record)

    def pause(self, paused: bool) -> None:
        """Take in that the queue begins no job, or begins them again."""
        with self._lock:
            if self._record.status is JobStatus.QUEUED:
                self._record = self._record.model_copy(update={"paused": paused})

    def advance(self, event: Event) -> None:
        """Take in progress or a preview."""
        with self._lock:
            self.heard_at = time.monotonic()
            if self._record.status is JobStatus.QUEUED:
                # Of an attempt that was ended meanwhile: the state overtook it.
                return
            if event.type == "progress":
                self._progress = Progress.model_validate(event.data)
                self._eta_s = _seconds(event.data.get("eta_s"))
            else:
                self._preview = _decoded(event.data.get("webp")) or self._preview
            self._tell(event)

    def alert(self, message: str) -> None:
        """Take in what whoever waits should know."""
        with self._lock:
            self._alerts = (*self._alerts, message)

    def fail(self, error: BaseException) -> None:
        """Have those who wait now get `error`: how the job ends cannot be told."""
        with self._lock:
            futures, self._futures = self._futures, []
            self._tell_end()
        for future in futures:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def close(self) -> None:
        """Have those who wait, now or later, get the error that the canvas is closed, unless it is
        known how the job ended."""
        with self._lock:
            self._closed = True
        self.fail(_closed(self._record.id))

    def _tell(self, event: Event | None) -> None:
        if event is not None:
            for listener in self._listeners:
                listener(event)

    def _tell_end(self) -> None:
        for listener in self._listeners:
            listener(None)
        self._listeners.clear()

    def _forget(self, listener: Listener) -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)


def _overtaken(record: JobRecord, known: JobRecord) -> bool:
    """Whether a record is of a time before the one that is known."""
    if known.status.final or record.status.final:
        return known.status.final
    return _stage(record) < _stage(known)


def _stage(record: JobRecord) -> tuple[int, bool]:
    """Where a job is that goes on; grows with time. An attempt counts from its beginning, so that
    a job that waits with as many attempts as one that runs has gone back to the queue."""
    return record.attempts, record.status is JobStatus.QUEUED


def _closed(job_id: str) -> OrchestratorUnavailable:
    return OrchestratorUnavailable(
        f"This canvas is closed, so it is not told how job {short(job_id)} ends.",
        hint=f"The job goes on, and Canvas().job({short(job_id)!r}) finds it again.",
    )


def _seconds(told: object) -> float | None:
    return float(told) if isinstance(told, int | float) else None


def _decoded(webp: object) -> bytes | None:
    try:
        return base64.b64decode(webp, validate=True) if isinstance(webp, str) else None
    except binascii.Error:
        return None
