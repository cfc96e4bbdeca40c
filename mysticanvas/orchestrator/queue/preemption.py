"""Whether a background job on a worker makes way for one that somebody waits for: a pure decision.

What it has done is lost, since a device holds one batch at a time; so it is not asked late, nor for
ever.
"""

from __future__ import annotations

from mysticanvas.contracts.jobs import JobRecord

LATEST = 0.5
"""How far a job may be, from 0 to 1; beyond that it is finished first."""
MOST = 3
"""Times that a job is put back; then it is left to run, however many come."""


def decide(running: JobRecord, fraction: float) -> bool:
    """Whether a job that runs on a worker goes back to the queue.

    Args:
        running: the job, with this attempt.
        fraction: how far it is, 0 to 1.
    """
    put_back = running.attempts - 1 - len(running.failures)
    return running.priority == "background" and fraction < LATEST and put_back < MOST
