"""Whether a job that did not finish runs again: a pure decision."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

MAX_ATTEMPTS = 2
BACKOFF_S = 0.25


class Failure(StrEnum):
    """How an attempt ended."""

    WORKER_LOST = "worker_lost"
    """The worker process ended while it had the job."""
    ORCHESTRATOR_LOST = "orchestrator_lost"
    """The orchestrator ended while the job ran; found at the next start."""
    ORCHESTRATOR_STOPPED = "orchestrator_stopped"
    """The orchestrator was asked to stop."""
    REFUSED = "refused"
    """The worker said no: the same request would fail again."""


class Retry(NamedTuple):
    """Run it again, `delay_s` seconds from now."""

    delay_s: float


def decide(failure: Failure, attempts: int) -> Retry | None:
    """Whether a job with `attempts` attempts behind it is tried again; None means that it failed.

    A stop that somebody asked for says nothing about the job, so it always waits for the next
    start. A crash may be the job's doing, so that is tried once more only.
    """
    if failure is Failure.ORCHESTRATOR_STOPPED:
        return Retry(0.0)
    if failure is Failure.REFUSED or attempts >= MAX_ATTEMPTS:
        return None
    return Retry(BACKOFF_S if failure is Failure.WORKER_LOST else 0.0)
