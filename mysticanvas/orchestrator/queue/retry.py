"""Whether a job that did not finish runs again: pure decisions."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from mysticanvas.contracts.jobs import LONGEST_DELAY_S

MAX_FAILURES = 3
"""Attempts that end badly before a job is taken to be the cause, and is parked as failed."""
MAX_UNBEGUN = 5
"""Attempts in a row that never reached a worker before a job is told that there is none."""
FIRST_S = 0.25


class Failure(StrEnum):
    """How an attempt ended."""

    WORKER_LOST = "worker_lost"
    """The worker process ended while it had the job."""
    WORKER_MISSING = "worker_missing"
    """There was no worker to begin with, or it ended before it had the job."""
    WORKER_BROKEN = "worker_broken"
    """There is no worker, and for a while there will be none: it has failed too often."""
    ORCHESTRATOR_LOST = "orchestrator_lost"
    """The orchestrator ended while the job ran; found at the next start."""
    ORCHESTRATOR_STOPPED = "orchestrator_stopped"
    """The orchestrator was asked to stop."""
    PREEMPTED = "preempted"
    """It made way for a job that somebody waits for."""

    @property
    def counts(self) -> bool:
        """Whether it may be the job's own doing."""
        return self in (Failure.WORKER_LOST, Failure.ORCHESTRATOR_LOST)

    @property
    def unbegun(self) -> bool:
        """Whether no worker had the job."""
        return self in (Failure.WORKER_MISSING, Failure.WORKER_BROKEN)


class Retry(NamedTuple):
    """Run it again, `delay_s` seconds from now."""

    delay_s: float


def decide(
    failure: Failure, failures: int, unbegun: int, jitter: float, waited_for: bool = True
) -> Retry | None:
    """Whether a job runs again; None means that it failed.

    A stop that somebody asked for says nothing about the job, so it always waits for the next
    start, as one that made way does for its next turn. What may be the job's doing is tried again
    until it has happened `MAX_FAILURES` times. While the worker is broken, who waits is told at
    once, and a job in the background is kept.

    Args:
        failures: attempts that count against it, this one included.
        unbegun: attempts in a row that never reached a worker, this one included.
        jitter: a random number from 0 to 1, so that several do not come back at one time.
        waited_for: whether somebody waits for it.
    """
    if failure in (Failure.ORCHESTRATOR_STOPPED, Failure.PREEMPTED):
        return Retry(0.0)
    if failure.counts:
        return Retry(delay_s(failures, jitter)) if failures < MAX_FAILURES else None
    if failure is Failure.WORKER_BROKEN:
        return None if waited_for else Retry(delay_s(unbegun, jitter))
    return Retry(delay_s(unbegun, jitter)) if unbegun < MAX_UNBEGUN else None


def delay_s(failures: int, jitter: float) -> float:
    """Seconds to wait after that many failures: doubling, up to half a minute, of which the later
    half is left to chance."""
    return float(min(LONGEST_DELAY_S, FIRST_S * 2 ** (failures - 1))) * (0.5 + jitter / 2)
