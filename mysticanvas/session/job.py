"""A job as a live handle."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mysticanvas.contracts.ids import short
from mysticanvas.contracts.jobs import JobStatus
from mysticanvas.errors import DoesNotFit, JobCancelled, MystiCanvasError, Stopped
from mysticanvas.session import arguments, progress, stop_button

if TYPE_CHECKING:
    from mysticanvas.contracts.events import Event
    from mysticanvas.contracts.jobs import GenerateRequest, JobRecord
    from mysticanvas.contracts.problem import Problem
    from mysticanvas.session.connection import Connection
    from mysticanvas.session.progress import Display
    from mysticanvas.session.tracker import JobTracker

T_co = TypeVar("T_co", covariant=True)

_AWAKE_S = 0.2
"""A kernel that cancels a cell leaves its loop asleep: what waits there has to wake it."""

PAUSED = "The queue is paused: canvas.jobs.resume() has it go on."


class Job(Generic[T_co]):
    """Work that was asked for; its attributes are always up to date.

    `await job` gives the result, too; in a cell, the stop button ends that as it ends `result`.
    Jobs outlive the kernel: `canvas.job(id)` finds one again, and handles of one job are equal.
    """

    def __init__(
        self,
        connection: Connection,
        tracker: JobTracker,
        finish: Callable[[JobRecord], T_co],
        asked: GenerateRequest | None = None,
    ) -> None:
        self._connection = connection
        self._tracker = tracker
        self._finish = finish
        self._asked = asked

    @property
    def id(self) -> str:
        """Its id in the store; `canvas.job(id)` finds it again."""
        return self._tracker.record.id

    @property
    def kind(self) -> str:
        """What it does: `generate`, `reproduce`, `export`, `backup`, …"""
        return self._tracker.record.kind

    @property
    def status(self) -> JobStatus:
        """`queued`, `running`, `succeeded`, `failed` or `cancelled`; it compares with text."""
        return self._live().status

    @property
    def progress(self) -> float:
        """How far it is, from 0 to 1."""
        record = self._live()
        if record.status is JobStatus.SUCCEEDED:
            return 1.0
        return min(1.0, max(0.0, self._tracker.snapshot.progress.fraction))

    @property
    def attempts(self) -> int:
        """How often it was begun."""
        return self._live().attempts

    @property
    def position(self) -> int | None:
        """How many jobs come before it while it waits; None otherwise."""
        record = self._live()
        if record.status is not JobStatus.QUEUED:
            return None
        return self._fetch().position

    @property
    def eta_s(self) -> float | None:
        """Seconds until it is likely to be done; None where that cannot be told."""
        record = self._live()
        return None if record.status.final else self._fetch().eta_s

    @property
    def failures(self) -> list[str]:
        """Why each attempt that counts against it ended."""
        return list(self._live().failures)

    @property
    def error(self) -> MystiCanvasError | None:
        """Why it failed; None if it did not."""
        record = self._live()
        return None if record.error is None else self._failure(record.error)

    @property
    def notices(self) -> list[str]:
        """What the user should know, a sentence each."""
        record = self._live()
        return [*record.notices, *([PAUSED] if record.paused else [])]

    @property
    def created_at(self) -> datetime:
        """When it was asked for, in UTC."""
        return self._tracker.record.created_at

    @property
    def started_at(self) -> datetime | None:
        """When its last attempt began, in UTC; None before the first."""
        return self._live().started_at

    @property
    def finished_at(self) -> datetime | None:
        """When it ended, in UTC; None while it goes on."""
        return self._live().finished_at

    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._live().status.final

    def wait(self, timeout: float | None = None) -> Job[T_co]:
        """Block until the job has ended, in whatever way; a notebook shows how far it is.

        An orchestrator that was stopped is started again, since a job that waits ends no other way.

        Args:
            timeout: seconds; None waits for as long as it takes.

        Returns:
            The job itself.

        Raises:
            InvalidRequest: `timeout` is no number.
            TimeoutError: it has not ended in time; it goes on.
            Stopped: the stop button; only the waiting ends, the job goes on.
            OrchestratorUnavailable: the orchestrator is lost and cannot be started again, or
                was stopped from here meanwhile, or the canvas was closed before it was known how
                the job ends.
        """
        limit = arguments.seconds("timeout", timeout)
        display = progress.beside(self._connection.settings.progress, self._tracker)
        future = self._tracker.future()
        try:
            self._connection.hear(self._tracker)
            with stop_button.interrupts(), progress.shown(display, self._connection):
                progress.watch(future, self._tracker, display, limit)
        except TimeoutError:
            if not future.done():
                raise TimeoutError(
                    f"Job {short(self.id)} is still {self._tracker.record.status} after "
                    f"{timeout:g} s; it goes on."
                ) from None
            raise
        except KeyboardInterrupt:
            raise self._stopped() from None
        finally:
            future.cancel()
        display.finish("")
        return self

    def result(self, timeout: float | None = None) -> T_co:
        """Wait for the job, then give its result.

        Args:
            timeout: seconds; None waits for as long as it takes.

        Raises:
            JobCancelled: it was cancelled.
            MystiCanvasError: it failed; this is its error.
            InvalidRequest, TimeoutError, Stopped, OrchestratorUnavailable: as for `wait`.
        """
        self.wait(timeout)
        return self._outcome(self._tracker.record)

    def cancel(self) -> bool:
        """Ask for the end of the job; a running one ends between two steps.

        Returns:
            Whether there was still something to cancel.
        """
        if self._tracker.record.status.final:
            return False
        record = self._connection.call(lambda api: api.cancel(self.id))
        self._tracker.update(record)
        return not record.status.final or record.status is JobStatus.CANCELLED

    def events(self) -> JobEvents:
        """What happens to the job from now on, to its end; for `for` and for `async for`.

        Each is a `mysticanvas.contracts.events.Event`; the first is the job as it is now.
        """
        return JobEvents(self._connection, self._tracker, self._stopped)

    def __await__(self) -> Generator[object, None, T_co]:
        return self._awaited().__await__()

    async def _awaited(self) -> T_co:
        wanted = self._connection.settings.progress if stop_button.in_cell() else "off"
        display = progress.beside(wanted, self._tracker)
        record = await stop_button.heeded(self._told(display), self._stopped)
        display.finish("")
        return self._outcome(record)

    async def _told(self, display: Display) -> JobRecord:
        future, began = self._tracker.future(), time.monotonic()
        try:
            # Beside the loop: an orchestrator may have to be started.
            await asyncio.to_thread(self._connection.hear, self._tracker)
            told = asyncio.wrap_future(future)
            with progress.shown(display, self._connection):
                while not (await asyncio.wait({told}, timeout=_AWAKE_S))[0]:
                    display.update(self._tracker.snapshot, time.monotonic() - began)
            return await told
        finally:
            future.cancel()

    def _stopped(self) -> Stopped:
        return _stopped(self._tracker.record, self)

    def _failure(self, problem: Problem) -> MystiCanvasError:
        error = problem.to_error()
        if self._asked is None or not isinstance(error, DoesNotFit) or error.plan is None:
            return error
        # Late: few jobs fail so, and every kernel would pay for it.
        from mysticanvas.session import plan

        return plan.shown(error, self._asked)

    def _outcome(self, record: JobRecord) -> T_co:
        if record.status is JobStatus.SUCCEEDED:
            return self._finish(record)
        if record.error is not None:
            raise self._failure(record.error)
        raise JobCancelled(f"Job {short(record.id)} was cancelled.")

    def _live(self) -> JobRecord:
        """The record, fetched if no events keep it up to date."""
        record = self._tracker.record
        if record.status.final or self._connection.listening:
            return record
        return self._fetch()

    def _fetch(self) -> JobRecord:
        record = self._connection.call(lambda api: api.job(self.id))
        self._tracker.update(record)
        return record

    def __repr__(self) -> str:
        record = self._tracker.record
        return f"<Job {short(record.id)} {record.kind} {record.status}>"

    def _repr_html_(self) -> str:
        # Late: few cells end with a job, and every kernel would pay for it.
        from mysticanvas.session import job_table

        now = self._tracker.snapshot
        return job_table.of([now.record.model_copy(update={"progress": now.progress})])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)


class JobEvents:
    """The events of one job, from the first `next` on; each iteration stands alone, and starts an
    orchestrator that was stopped.

    Args:
        stopped: makes what the stop button raises in a cell that awaits them.
    """

    def __init__(
        self, connection: Connection, tracker: JobTracker, stopped: Callable[[], Stopped]
    ) -> None:
        self._connection = connection
        self._tracker = tracker
        self._stopped = stopped

    def __iter__(self) -> Iterator[Event]:
        self._connection.hear(self._tracker)
        events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        stop = self._tracker.listen(events.put)
        try:
            while (event := _blocking(events)) is not None:
                yield event
        finally:
            stop()

    async def __aiter__(self) -> AsyncIterator[Event]:
        hearing = asyncio.to_thread(self._connection.hear, self._tracker)
        await stop_button.heeded(hearing, self._stopped)
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def hand_on(event: Event | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(events.put_nowait, event)

        stop = self._tracker.listen(hand_on)
        try:
            while (event := await stop_button.heeded(_next(events), self._stopped)) is not None:
                yield event
        finally:
            stop()


def _blocking(events: queue.SimpleQueue[Event | None]) -> Event | None:
    with stop_button.interrupts():
        return events.get()


async def _next(events: asyncio.Queue[Event | None]) -> Event | None:
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_AWAKE_S):
                return await events.get()


def _stopped(record: JobRecord, job: Job[Any]) -> Stopped:
    """What the stop button raises where it ends a wait for a job, and not the job."""
    if not record.status.final:
        said = f"is still {record.status}; job.cancel() cancels it."
    elif record.status is JobStatus.CANCELLED:
        said = "was cancelled."
    else:
        said = f"has {record.status}."
    return Stopped(f"job {short(record.id)} {said}", job)
