"""Whether a background job on a worker makes way for one that somebody waits for: a pure decision.

What it has done is lost, since a device holds one batch at a time; so it is not asked late, nor for
ever.
"""

from __future__ import annotations

from mysticanvas.contracts.params import Priority

LATEST = 0.5
"""How far a job may be, from 0 to 1; beyond that it is finished first."""
MOST = 3
"""Times that a job is put back; then it is left to run, however many come."""


def decide(priority: Priority, made_way: int, fraction: float) -> bool:
    """Whether a job that runs on a worker goes back to the queue.

    Args:
        priority: of the job.
        made_way: how often it was put back before.
        fraction: how far it is, 0 to 1.
    """
    return priority == "background" and fraction < LATEST and made_way < MOST
