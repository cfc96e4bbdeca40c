"""Runs jobs in the orchestrator's own process, one at a time, beside the dispatcher."""

from __future__ import annotations

import time
from collections.abc import Mapping

from pydantic import JsonValue

from mysticanvas import logs
from mysticanvas.contracts.jobs import Progress
from mysticanvas.errors import JobCancelled
from mysticanvas.orchestrator.events import Bus
from mysticanvas.orchestrator.queue.kinds import Kinds
from mysticanvas.orchestrator.queue.lane import Lane
from mysticanvas.orchestrator.queue.run import Run
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.store import StoredJob

YIELD_S = 30.0
"""Longest wait, at a time, for jobs that somebody waits for."""
SLICE_S = 1.0
"""Work that goes by after such a wait, whoever waits."""
_TELL_S = 0.1

_log = logs.get(__name__)


class Runner(Lane[Run]):
    """Carries out the kinds that it is given.

    Args:
        transitions, bus: where jobs come from, and where progress goes.
        kinds: what it carries out.
        name: of its thread.
    """

    def __init__(
        self, transitions: Transitions, bus: Bus, kinds: Kinds, name: str = "runner"
    ) -> None:
        super().__init__(name, frozenset(kinds), transitions)
        self._bus = bus
        self._table = kinds

    def begin(self, job: StoredJob) -> Run:
        return Run(job, self._bus)

    def between_jobs(self) -> None:
        for job in self._table.values():
            if job.tidy is not None:
                job.tidy()

    def execute(self, run: Run) -> None:
        context = Context(run, self._transitions)
        try:
            result = self._table[run.job.record.kind].run(context)
        except JobCancelled:
            self._transitions.stop(run)
            return
        if run.end():
            self._transitions.succeed(run, result=result)
            _log.info("job_succeeded", seconds=run.elapsed_s)
        else:
            self._transitions.stop(run)


class Context:
    """The `JobContext` of a run."""

    def __init__(self, run: Run, transitions: Transitions) -> None:
        self._run = run
        self._steps_aside = run.job.record.priority == "background"
        self._transitions = transitions
        self._works_until = 0.0
        self._told_at = 0.0

    @property
    def job_id(self) -> str:
        return self._run.id

    @property
    def project(self) -> str:
        return self._run.job.record.project

    @property
    def params(self) -> Mapping[str, JsonValue]:
        return self._run.job.params

    def check(self) -> None:
        if self._run.stopped:
            raise JobCancelled("The job was cancelled.", request_id=self._run.job.record.request_id)
        if not self._steps_aside or time.monotonic() < self._works_until:
            return
        if not self._transitions.somebody_waits():
            return
        with self._transitions.changed:
            free = self._transitions.changed.wait_for(
                lambda: self._run.stopped or not self._transitions.somebody_waits(), YIELD_S
            )
        if not free:
            self._works_until = time.monotonic() + SLICE_S
        self.check()

    def progress(self, fraction: float, stage: str) -> None:
        self._run.progress = progress = Progress(stage=stage, fraction=fraction)
        if time.monotonic() - self._told_at >= _TELL_S:
            self._told_at = time.monotonic()
            self._run.advance(progress)
