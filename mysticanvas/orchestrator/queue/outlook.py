"""What memory knows of a job beside its record: progress, its place in the queue, seconds left."""

from __future__ import annotations

from collections.abc import Sequence

from mysticanvas.contracts.jobs import WORKER_KINDS, JobRecord, JobStatus
from mysticanvas.orchestrator.queue import eta
from mysticanvas.orchestrator.queue.eta import Pace
from mysticanvas.orchestrator.queue.run import Run
from mysticanvas.store.jobs import Jobs


class Outlook:
    """Completes records for whoever looks at them.

    Args:
        jobs: know which of them wait.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._paces = {True: Pace(), False: Pace()}
        """By whether a worker carries the jobs out."""

    def took(self, run: Run) -> None:
        """Note how long a run took that succeeded."""
        self._paces[run.on_worker].took(run.elapsed_s)

    def of(
        self, record: JobRecord, run: Run | None, runs: Sequence[Run], paused: bool
    ) -> JobRecord:
        """The record with progress or place, and the seconds left.

        Args:
            run: of the job itself, if it runs here.
            runs: all that there are.
            paused: whether no job is begun.
        """
        if record.status is JobStatus.RUNNING and run is not None:
            update = {"progress": run.progress, "eta_s": self._left_s(run)}
            return record.model_copy(update=update)
        if record.status is not JobStatus.QUEUED:
            return record
        position = self._jobs.position(record.id)
        on_worker = record.kind in WORKER_KINDS
        before = [self._left_s(each) for each in runs if each.on_worker == on_worker]
        eta_s = None
        if position is not None and not paused:
            eta_s = eta.waiting_s(position, before, self._paces[on_worker].typical_s)
        return record.model_copy(update={"position": position, "eta_s": eta_s, "paused": paused})

    def _left_s(self, run: Run) -> float | None:
        return run.left_s(self._paces[run.on_worker].typical_s)
