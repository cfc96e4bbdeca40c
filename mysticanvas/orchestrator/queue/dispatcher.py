"""Runs queued jobs on a worker, one at a time: one dispatcher a slot, one thread a dispatcher."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any, NamedTuple

from mysticanvas import logs
from mysticanvas.contracts.health import QueueStatus
from mysticanvas.contracts.jobs import JobRecord, JobStatus, Progress
from mysticanvas.contracts.problem import Problem
from mysticanvas.contracts.worker import (
    Failed,
    Finished,
    GenerateTask,
    Made,
    Previewed,
    Progressed,
)
from mysticanvas.errors import JobCancelled, MystiCanvasError
from mysticanvas.orchestrator.events import Bus
from mysticanvas.orchestrator.queue import retry
from mysticanvas.orchestrator.queue.retry import Failure
from mysticanvas.orchestrator.supervisor.client import GenerateStream, WorkerClient, WorkerLost
from mysticanvas.orchestrator.supervisor.worker import Worker, crash_error
from mysticanvas.store import NewImage, Store, StoredJob

_log = logs.get(__name__)
_WORKER_START_S = 60.0
_LONGEST_WAIT_S = 60.0


class _Held(NamedTuple):
    """The model that the worker holds."""

    digest: str
    preset: str


class _Unload(NamedTuple):
    """A call that waits for the device to be given back."""

    preset: str | None
    done: threading.Event


class Dispatcher:
    """Feeds one worker from the queue.

    Args:
        store, bus, worker: where jobs come from, where events go, and what runs them.
        keep_alive_s: seconds without a job after which the model leaves the device.
    """

    def __init__(self, store: Store, bus: Bus, worker: Worker, keep_alive_s: float) -> None:
        self._store = store
        self._bus = bus
        self._worker = worker
        self._keep_alive_s = keep_alive_s
        self._wake = threading.Condition()
        self._stopping = False
        self._notified = False
        self._unload_asked: list[_Unload] = []
        self._attempt: _Attempt | None = None
        self._queued = 0
        self._held: _Held | None = None
        self._last_used = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)

    @property
    def queue(self) -> QueueStatus:
        """How many jobs wait and run, from memory."""
        with self._wake:
            return QueueStatus(queued=self._queued, running=int(self._attempt is not None))

    def start(self) -> None:
        """Take up what an earlier orchestrator left running, then begin."""
        self._queued = self._store.jobs.counts()[JobStatus.QUEUED]
        for job in self._store.jobs.interrupted():
            self._after_failure(
                job, Failure.ORCHESTRATOR_LOST, "the orchestrator ended while it ran"
            )
        self._thread.start()

    def stop(self) -> None:
        """End; a job that runs goes back to the queue for the next start."""
        with self._wake:
            self._stopping = True
            if self._attempt is not None:
                self._attempt.stop(Failure.ORCHESTRATOR_STOPPED)
            self._wake.notify_all()
        self._thread.join()

    def notify(self) -> None:
        """Say that a job was queued."""
        with self._wake:
            self._queued += 1
            self._notified = True
            self._wake.notify_all()

    def cancel(self, job_id: str) -> None:
        """Cancel a job, waiting or running; harmless if it is over."""
        record = self._store.jobs.cancel_queued(job_id)
        if record is not None:
            with self._wake:
                self._queued -= 1
            self._publish(record)
            return
        with self._wake:
            if self._attempt is not None and self._attempt.job.record.id == job_id:
                self._attempt.stop(None)

    def progress(self, job_id: str) -> Progress | None:
        """How far a running job is."""
        attempt = self._attempt
        if attempt is None or attempt.job.record.id != job_id:
            return None
        return attempt.progress

    def unload(self, preset: str | None = None) -> None:
        """Have the model leave the device, after the job that runs; returns when it has left.

        Args:
            preset: do so only if it is this preset's model.
        """
        asked = _Unload(preset, threading.Event())
        with self._wake:
            if self._stopping:
                return
            self._unload_asked.append(asked)
            self._wake.notify_all()
        asked.done.wait()

    def _run(self) -> None:
        while not self._stopping:
            self._serve_unloads()
            # A store that fails once, for want of disk space say, must not end the queue.
            try:
                job = self._store.jobs.claim()
                if job is not None:
                    self._attempt_job(job)
                    continue
            except MystiCanvasError:
                _log.exception("queue_error")
            self._keep_alive()
            self._wait()
        for asked in self._unload_asked:
            asked.done.set()

    def _wait(self) -> None:
        due = self._store.jobs.next_due_s()
        with self._wake:
            if self._stopping or self._unload_asked or self._notified:
                self._notified = False
                return
            waits = [_LONGEST_WAIT_S, due, self._expires_s()]
            self._wake.wait(min(wait for wait in waits if wait is not None))
            self._notified = False

    def _serve_unloads(self) -> None:
        with self._wake:
            asked, self._unload_asked = self._unload_asked, []
        for unload in asked:
            if self._held and unload.preset in (None, self._held.preset):
                self._give_back("it was asked for")
            unload.done.set()

    def _expires_s(self) -> float | None:
        if self._held is None:
            return None
        return max(0.0, self._last_used + self._keep_alive_s - time.monotonic())

    def _keep_alive(self) -> None:
        if self._expires_s() == 0.0:
            self._give_back(f"it was not used for {self._keep_alive_s:g} s")

    def _give_back(self, reason: str) -> None:
        with contextlib.suppress(WorkerLost):
            self._worker.client(_WORKER_START_S).unload()
        _log.info("model_unloaded", preset=self._held and self._held.preset, reason=reason)
        self._held = None
        self._worker.free(None)

    def _attempt_job(self, job: StoredJob) -> None:
        record = job.record
        with logs.bind(request_id=record.request_id, job_id=record.id):
            _log.info("job_started", attempt=record.attempts)
            self._publish(record)
            attempt = _Attempt(job, self._bus)
            with self._wake:
                self._attempt = attempt
                self._queued -= 1
                if self._stopping:
                    attempt.stop(Failure.ORCHESTRATOR_STOPPED)
            try:
                self._execute(attempt)
            finally:
                with self._wake:
                    self._attempt = None
                self._last_used = time.monotonic()

    def _execute(self, attempt: _Attempt) -> None:
        job, task = attempt.job, attempt.task
        try:
            client = self._worker.client(_WORKER_START_S)
            self._worker.busy(task.model.digest)
            with client.generate(task) as stream:
                attempt.follow(client, stream)
        except WorkerLost as lost:
            self._after_loss(attempt, str(lost))
        # Whatever a job meets, it ends as that job's failure: the queue goes on.
        except Exception as error:  # noqa: BLE001
            if not isinstance(error, MystiCanvasError):
                _log.exception("attempt_failed")
            self._settle(attempt)
            self._finish(job, JobStatus.FAILED, Problem.of(error, job.record.request_id))
        else:
            # The last message comes when the engine is free, so there is nothing to wait for.
            if attempt.finished is None:
                self._settle(attempt)
            else:
                self._hold(attempt.task)
            self._conclude(attempt)

    def _after_loss(self, attempt: _Attempt, reason: str) -> None:
        """The connection is gone: because we hung up, or because the worker is."""
        if attempt.stopped:
            self._settle(attempt)
            self._conclude(attempt)
        else:
            self._held = None
            self._after_failure(attempt.job, Failure.WORKER_LOST, reason)

    def _settle(self, attempt: _Attempt) -> None:
        """Leave no batch behind that still runs: the next job needs the worker."""
        try:
            self._worker.settle(self._worker.client(_WORKER_START_S))
        except WorkerLost:
            self._held = None
        else:
            self._hold(attempt.task)

    def _hold(self, task: GenerateTask) -> None:
        self._held = _Held(task.model.digest, task.recipe.preset)
        self._worker.free(self._held.digest)

    def _conclude(self, attempt: _Attempt) -> None:
        job = attempt.job
        if attempt.finished is not None:
            self._succeed(attempt)
        elif attempt.stopped and attempt.stop_reason is None:
            cancelled = JobCancelled("The job was cancelled.", request_id=job.record.request_id)
            self._finish(job, JobStatus.CANCELLED, Problem.of(cancelled))
        elif attempt.stopped:
            assert attempt.stop_reason is not None
            self._after_failure(job, attempt.stop_reason, "it was stopped")
        elif attempt.problem is not None:
            self._finish(job, JobStatus.FAILED, attempt.problem)
        else:
            self._after_failure(job, Failure.WORKER_LOST, "it stopped in mid-answer")

    def _succeed(self, attempt: _Attempt) -> None:
        job = attempt.job
        matched = None
        if attempt.task.only_index is not None:
            matched = any(made.file is None for made in attempt.made)
        images = [_new_image(attempt.task, made) for made in attempt.made if made.file]
        record = self._store.jobs.succeed(job.record.id, job.record.attempts, images, matched)
        if record is None:
            _log.warning("late_result_refused")
            return
        seconds = attempt.finished.seconds if attempt.finished else {}
        _log.info("job_succeeded", seconds=seconds)
        for image in record.images:
            self._bus.publish("image", image.model_dump(mode="json"))
        self._publish(record)
        # Behind the news, which somebody waits for.
        self._store.raise_high_water()

    def _after_failure(self, job: StoredJob, failure: Failure, reason: str) -> None:
        record = job.record
        again = retry.decide(failure, record.attempts)
        if again is None:
            error = crash_error("image", reason)
            self._finish(job, JobStatus.FAILED, Problem.of(error, record.request_id))
        elif self._store.jobs.requeue(record.id, record.attempts, again.delay_s):
            with self._wake:
                self._queued += 1
            _log.warning("job_requeued", failure=failure, reason=reason, delay_s=again.delay_s)
            self._publish(self._store.jobs.get(record.id).record)

    def _finish(self, job: StoredJob, status: JobStatus, problem: Problem) -> None:
        record = self._store.jobs.finish(job.record.id, job.record.attempts, status, problem)
        _log.info("job_ended", status=status, code=problem.code)
        if record is not None:
            self._publish(record)

    def _publish(self, record: JobRecord) -> None:
        self._bus.publish("job", record.model_dump(mode="json"))


class _Attempt:
    """One run of a job: what came of it, and whether somebody ended it."""

    def __init__(self, job: StoredJob, bus: Bus) -> None:
        assert job.task is not None
        self.job = job
        self.task: GenerateTask = job.task.model_copy(
            update={"attempt": job.record.attempts, "previews": bus.previews_wanted}
        )
        self.made: list[Made] = []
        self.finished: Finished | None = None
        self.problem: Problem | None = None
        self.progress = Progress(stage="load")
        self.stopped = False
        self.stop_reason: Failure | None = None
        self._bus = bus
        self._stream: GenerateStream | None = None
        self._lock = threading.Lock()

    def stop(self, reason: Failure | None) -> None:
        """End the run; `reason` None means that the user cancelled it. From any thread."""
        with self._lock:
            if self.stopped or self.finished is not None:
                return
            self.stopped, self.stop_reason = True, reason
            if self._stream is not None:
                self._stream.hang_up()

    def follow(self, client: WorkerClient, stream: GenerateStream) -> None:
        """Take the messages in, to the end of the stream."""
        with self._lock:
            self._stream = stream
            if self.stopped:
                stream.hang_up()
        previews = self.task.previews
        for message in stream:
            if isinstance(message, Progressed):
                self._progressed(message.progress)
                if self._bus.previews_wanted != previews:
                    previews = not previews
                    client.previews(previews)
            elif isinstance(message, Previewed):
                self._tell("preview", message.model_dump(exclude={"type"}))
            elif isinstance(message, Made):
                self.made.append(message)
            elif isinstance(message, Failed):
                self.problem = message.problem
            else:
                with self._lock:
                    self.finished = None if self.stopped else message

    def _progressed(self, progress: Progress) -> None:
        self.progress = progress
        self._tell("progress", progress.model_dump())

    def _tell(self, kind: Any, data: dict[str, Any]) -> None:
        job_id = self.job.record.id
        self._bus.publish_latest(kind, job_id, {"job_id": job_id, **data})


def _new_image(task: GenerateTask, made: Made) -> NewImage:
    assert made.file is not None
    return NewImage(
        id=made.image_id,
        job_id=task.job_id,
        batch_index=made.index,
        project=task.project,
        parent=task.parent,
        source=task.source,
        mode=made.mode,
        recipe=made.recipe,
        pixels_sha256=made.pixels_sha256,
        tags=tuple(task.tags),
        file=made.file,
        created_at=task.created_at,
    )
