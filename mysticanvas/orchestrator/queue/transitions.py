"""Every change of a job's state, one at a time: stored first, then published.

One lock orders them. A run is known from the very moment in which its job is claimed, and an
attempt that goes back to the queue is looked at for a cancellation in the same breath, so a
cancellation never falls between two states; and listeners hear of states in the order in which
they were reached.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, TypeVar, cast

from pydantic import JsonValue

from mysticanvas import logs
from mysticanvas.contracts.health import QueueStatus
from mysticanvas.contracts.jobs import WORKER_KINDS, JobRecord, JobStatus
from mysticanvas.contracts.measurements import Measurement
from mysticanvas.contracts.problem import Problem
from mysticanvas.contracts.worker import GenerateTask
from mysticanvas.errors import JobCancelled, StoreError
from mysticanvas.orchestrator.events import Bus
from mysticanvas.orchestrator.queue import outcomes, rescue, retry
from mysticanvas.orchestrator.queue.gate import Gate
from mysticanvas.orchestrator.queue.outlook import Outlook
from mysticanvas.orchestrator.queue.past import Past
from mysticanvas.orchestrator.queue.rescue import Rescue
from mysticanvas.orchestrator.queue.retry import Failure
from mysticanvas.orchestrator.queue.run import Run
from mysticanvas.processes import Identity
from mysticanvas.store import NewImage, Store, StoredJob

_log = logs.get(__name__)
_ORCHESTRATOR_LOST = "the orchestrator ended while it ran"
R = TypeVar("R", bound=Run)


class _Idle(NamedTuple):
    """Somebody who waits for a job."""

    kinds: Collection[str]
    begin: Callable[[StoredJob], Run]


class Transitions:
    """The states of all jobs, from any thread.

    Args:
        store, bus: where states are kept, and where they are told.
        me: the process that runs what is claimed here.
    """

    def __init__(self, store: Store, bus: Bus, me: Identity) -> None:
        self._store = store
        self._bus = bus
        self._me = me
        self._runner = rescue.to_text(me)
        self._runs: dict[str, Run] = {}
        self._idle: list[_Idle] = []
        self._begun: list[Run] = []
        """Handed to those that were idle, and not yet taken up."""
        self._past: dict[str, Past] = {}
        """Of jobs that were put back, by id."""
        self._outlook = Outlook(store.jobs)
        self.gate = Gate(store)
        self.changed = threading.Condition(threading.RLock())
        """Notified after every change."""

    @property
    def status(self) -> QueueStatus:
        """How many jobs wait and run; from memory, without waiting for a change under way."""
        return QueueStatus(
            queued=self._store.jobs.waiting(), running=len(self._runs), paused=self.gate.paused
        )

    def add(
        self,
        record: JobRecord,
        request: str,
        task: GenerateTask | None,
        key: str | None,
        params: dict[str, JsonValue] | None = None,
    ) -> tuple[JobRecord, bool]:
        """Queue a job, unless one with this key is known; the job, and whether it is new.

        Somebody who is idle is handed it at once: it is stored as one that runs.
        """
        with self.changed:
            idle = self._idle_for(record)
            runner = None if idle is None else self._runner
            job, created = self._store.jobs.add(
                record, request, task, key, params=params, runner=runner
            )
            # In here, or the line of its start might come before.
            said = "job_queued" if created else "job_known"
            _log.info(said, job_id=job.record.id, kind=job.record.kind)
            if created:
                self._tell(record)
                if idle is not None:
                    self._idle.remove(idle)
                    run = self._begin(job, idle.begin)
                    if run is not None:
                        self._begun.append(run)
            return self.shown(job.record), created

    def add_unless_waiting(
        self, record: JobRecord, request: str, params: dict[str, JsonValue]
    ) -> None:
        """Queue a job, unless one of its kind waits already."""
        with self.changed:
            if self._store.jobs.next_due_s([record.kind]) is None:
                self.add(record, request, None, None, params)

    def claim(
        self, kinds: Collection[str], begin: Callable[[StoredJob], R], model: str | None = None
    ) -> R | None:
        """Begin the next job of these kinds whose time has come, if the gate lets it; or take up
        what was begun during `wait`.

        Args:
            begin: makes its run; must not block. A job of which it raises has failed.
            model: digest of the one that is loaded, whose jobs may go first.
        """
        with self.changed:
            handed = self.handed(kinds)
            if handed is not None:
                return cast("R", handed)
            if not self.gate.lets_next(kinds):
                return None
            job = self._store.jobs.claim(kinds, self._runner, model)
            return None if job is None else self._begin(job, begin)

    def wait(
        self, kinds: Collection[str], begin: Callable[[StoredJob], Run], timeout_s: float
    ) -> None:
        """Be idle until something changes. A job of these kinds that is added meanwhile is begun in
        the very transaction that stores it, which saves it the second one of `claim`.

        Args:
            begin: as of `claim`.
            timeout_s: the longest, in seconds.
        """
        with self.changed:
            idle = _Idle(kinds, begin)
            self._idle.append(idle)
            try:
                self.changed.wait(timeout_s)
            finally:
                if idle in self._idle:
                    self._idle.remove(idle)

    def handed(self, kinds: Collection[str]) -> Run | None:
        """Take up what was begun during `wait`, if anything was."""
        with self.changed:
            for run in self._begun:
                if run.job.record.kind in kinds:
                    self._begun.remove(run)
                    return run
            return None

    def due_s(self, kinds: Collection[str]) -> float | None:
        """Seconds until `claim` may have a job of these kinds; None if none is foreseen."""
        return self.gate.due_s(kinds)

    def drain(self, timeout_s: float) -> None:
        """Begin no job any more; returns when none runs, or after `timeout_s` seconds."""
        with self.changed:
            self.gate.drain()
            self.changed.wait_for(lambda: not self._runs, timeout_s)

    def succeed(
        self,
        run: Run,
        made: Sequence[NewImage] = (),
        matched: bool | None = None,
        result: dict[str, JsonValue] | None = None,
        measured: Sequence[Measurement] = (),
    ) -> bool:
        """Record the result of a run, and what it took of the memory; whether it still counted."""
        with self.changed:
            record = _ended(
                lambda kept: self._store.jobs.succeed(
                    run.id, run.attempt, made, matched, result, kept
                ),
                measured,
            )
            if record is None:
                _log.warning("late_result_refused")
                return False
            for image in record.images:
                self._bus.publish("image", image.model_dump(mode="json"))
            self._outlook.took(run)
            self._leave(run, record)
            return True

    def notice(self, run: Run, sentences: Sequence[str]) -> None:
        """Tell whoever waits for a running job something."""
        with self.changed:
            record = self._store.jobs.notice(run.id, run.attempt, sentences)
            if record is not None:
                self._tell(record)

    def fail(self, run: Run, problem: Problem, measured: Sequence[Measurement] = ()) -> None:
        """End a run whose job cannot be done; `measured` is what it took of the memory."""
        self._finish(run, JobStatus.FAILED, problem, measured=measured)

    def stop(self, run: Run) -> None:
        """End a run that was stopped: for good if a user did it, else until the next start."""
        self.lose(run, run.stop_reason or Failure.ORCHESTRATOR_STOPPED, "it was stopped")

    def lose(self, run: Run, failure: Failure, reason: str) -> None:
        """End a run that did not get to its end: its job runs again, or has failed too often."""
        with self.changed:
            if run.cancelled:
                self._finish(run, JobStatus.CANCELLED, outcomes.cancelled(run.job.record))
                return
            record = run.job.record
            failures = list(record.failures)
            if failure.counts:
                failures.append(f"attempt {record.attempts}: {reason}")
            past = self._past.get(run.id, Past()).after(failure)
            waited_for = record.priority == "interactive"
            again = retry.decide(failure, len(failures), past.unbegun, random.random(), waited_for)
            if again is None:
                problem = Problem.of(
                    outcomes.given_up(failure, failures, reason), record.request_id
                )
                self._finish(run, JobStatus.FAILED, problem, failures)
                return
            self._past[run.id] = past
            done = self._store.jobs.requeue(run.id, run.attempt, again.delay_s, failures)
            _log.warning("job_requeued", failure=failure, reason=reason, delay_s=again.delay_s)
            self._leave(run, self._store.jobs.get(run.id).record if done else None)

    def abandon(self, run: Run) -> None:
        """Forget a run whose end could not be recorded; the job is rescued like one of a crash."""
        with self.changed:
            self._leave(run, None)

    def cancel(self, job_id: str) -> None:
        """Cancel a job, waiting or running; harmless if it is over."""
        with self.changed:
            run = self._runs.get(job_id)
            if run is not None:
                run.stop(None)
                if run.cancelled and not run.has_begun:
                    # Its lane may be kept for long, by the imports of a worker say.
                    self._finish(run, JobStatus.CANCELLED, outcomes.cancelled(run.job.record))
                self.changed.notify_all()
                return
            cancelled = JobCancelled("The job was cancelled.")
            record = self._store.jobs.cancel_queued(job_id, Problem.of(cancelled))
            if record is not None:
                self._tell(record)

    def stop_all(self, kinds: Collection[str]) -> None:
        """Have the runs of these kinds end; their jobs go on with the next start."""
        with self.changed:
            for run in self._runs.values():
                if run.job.record.kind in kinds:
                    run.stop(Failure.ORCHESTRATOR_STOPPED)
            self.changed.notify_all()

    def rescue(self) -> None:
        """Take up the jobs that a process began which is no more."""
        with self.changed:
            for job in self._store.jobs.interrupted():
                if job.record.id in self._runs:
                    continue
                what = rescue.decide(job.runner, job.record.after_crash, self._others)
                if what is Rescue.LEAVE:
                    continue
                # One of our own was abandoned: the disk was full, say.
                mine = job.runner == self._runner
                reason = "its end could not be recorded" if mine else _ORCHESTRATOR_LOST
                run = Run(job, self._bus)
                if what is Rescue.CANCEL:
                    self._finish(run, JobStatus.CANCELLED, outcomes.not_again(job.record, reason))
                else:
                    self.lose(run, Failure.ORCHESTRATOR_LOST, reason)

    def pause(self, paused: bool) -> QueueStatus:
        """Begin no job any more, or begin them again; lasts over a restart."""
        with self.changed:
            self.gate.pause(paused)
            self._bus.publish("queue", self.status.model_dump(mode="json"))
            self.changed.notify_all()
            return self.status

    def somebody_waits(self) -> bool:
        """Whether a job that somebody waits for runs on a worker, or is about to."""
        runs = list(self._runs.values())
        if any(_interactive(run.job.record) for run in runs):
            return True
        next_up = None if self.gate.paused else self._store.jobs.next_up(WORKER_KINDS)
        return next_up is not None and not next_up.background

    def runs(self) -> list[Run]:
        """What runs now."""
        return list(self._runs.values())

    def shown(self, record: JobRecord) -> JobRecord:
        """The record with what only memory knows: progress, or the place in the queue."""
        return self._outlook.of(record, self._runs.get(record.id), self.runs(), self.gate.paused)

    def _idle_for(self, record: JobRecord) -> _Idle | None:
        """Who would begin that job now, and waits for one."""
        if not self.gate.lets(record.kind, record.priority == "background"):
            return None
        for idle in self._idle:
            if record.kind in idle.kinds and self._store.jobs.next_due_s(idle.kinds) != 0.0:
                return idle
        return None

    def _begin(self, job: StoredJob, begin: Callable[[StoredJob], R]) -> R | None:
        """The run of a job that was claimed; None if it cannot be begun, and so has failed."""
        try:
            run = begin(job)
        # Whatever is wrong with it, it ends as that job's failure: the queue goes on.
        except Exception as error:  # noqa: BLE001
            _log.exception("job_not_begun", job_id=job.record.id)
            self.fail(Run(job, self._bus), Problem.of(error, job.record.request_id))
            return None
        run.past = self._past.get(run.id, Past())
        self._runs[run.id] = run
        self._tell(job.record)
        return run

    def _others(self, identity: Identity) -> bool:
        return identity != self._me and identity.alive()

    def _finish(
        self,
        run: Run,
        status: JobStatus,
        problem: Problem,
        failures: Sequence[str] | None = None,
        measured: Sequence[Measurement] = (),
    ) -> None:
        """Record the end of a run; `failures` if there are more than before."""
        failures = run.job.record.failures if failures is None else failures
        with self.changed:
            record = _ended(
                lambda kept: self._store.jobs.finish(
                    run.id, run.attempt, status, problem, failures, kept
                ),
                measured,
            )
            if record is not None:
                _log.info("job_ended", status=status, code=problem.code)
            self._leave(run, record)

    def _leave(self, run: Run, record: JobRecord | None) -> None:
        self._runs.pop(run.id, None)
        if record is None:
            self.changed.notify_all()
        else:
            self._tell(record)

    def _tell(self, record: JobRecord) -> None:
        if record.status.final:
            self._past.pop(record.id, None)
        if record.status is JobStatus.QUEUED and self.gate.paused:
            record = record.model_copy(update={"paused": True})
        self._bus.publish("job", record.model_dump(mode="json"))
        self.changed.notify_all()


def _ended(
    end: Callable[[Sequence[Measurement]], JobRecord | None], measured: Sequence[Measurement]
) -> JobRecord | None:
    """What ending a job gives; without its measurements, if it fails with them."""
    try:
        return end(measured)
    except StoreError:
        if not measured:
            raise
        _log.warning("measurement_not_kept", exc_info=True)
        return end(())


def _interactive(record: JobRecord) -> bool:
    return record.priority == "interactive" and record.kind in WORKER_KINDS
