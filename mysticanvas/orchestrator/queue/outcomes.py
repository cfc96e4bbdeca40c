"""What users are told of a job that did not get to its end."""

from __future__ import annotations

from collections.abc import Sequence

from mysticanvas.contracts.jobs import JobRecord
from mysticanvas.contracts.problem import Problem
from mysticanvas.errors import JobCancelled, MystiCanvasError, StoreError, WorkerCrashed
from mysticanvas.orchestrator.queue.retry import Failure
from mysticanvas.orchestrator.supervisor import deadlines


def cancelled(record: JobRecord) -> Problem:
    """A user ended it."""
    return Problem.of(JobCancelled("The job was cancelled."), record.request_id)


def not_again(record: JobRecord, reason: str) -> Problem:
    """It was interrupted, and was asked not to begin again after that."""
    cancelled = JobCancelled(
        f"The job was cancelled: {reason}, and it was asked not to run again after that.",
        hint="Submit it again, or leave out after_crash='cancel'.",
    )
    return Problem.of(cancelled, record.request_id)


def unreadable() -> StoreError:
    """It was stored in a form that is not known here."""
    return StoreError(
        "What the job was to do cannot be read; another version of MystiCanvas queued it.",
        hint="Submit it again.",
    )


def given_up(failure: Failure, failures: Sequence[str], reason: str) -> MystiCanvasError:
    """It failed too often.

    Args:
        failures: why each attempt ended that counts.
        reason: why the last one did.
    """
    advice = deadlines.advice([*failures, reason])
    if failure is Failure.WORKER_BROKEN:
        return WorkerCrashed(
            f"The job was not begun: {reason}.",
            hint="canvas.workers.reset() tries to start the worker again; a job in the background "
            f"would have waited. The logs folder of the home has the worker's last words.{advice}",
        )
    if failure is Failure.WORKER_MISSING:
        return WorkerCrashed(
            f"No worker could be had for the job: {reason}.",
            hint=f"The logs folder of the home has the worker's last words.{advice}",
        )
    return WorkerCrashed(
        f"The job was tried {len(failures)} times and ended badly each time: "
        f"{'; '.join(failures)}.",
        hint="It is not tried again. The logs folder of the home has the worker's last words."
        f"{advice}",
        failures=list(failures),
    )
