"""Whether and when a worker that ended is started again: a pure decision.

Ends of processes that were never well wait longer and longer for the next start; after a few of
them nothing is started for a while (the breaker is open), then one trial is made.
"""

from __future__ import annotations

from typing import NamedTuple

FIRST_S = 0.1
MAX_FAILURES = 5
"""Such ends within `WINDOW_S` after which the breaker opens."""
WINDOW_S = 60.0
"""Without the time for which these processes ran: a start that takes minutes to fail would never be
the fifth within one."""
STABLE_S = 10.0
"""A process that answers so long after its imports, or ends a job, is well: all is forgotten."""
COOL_DOWN_S = 30.0
LONGEST_COOL_DOWN_S = 600.0


class History(NamedTuple):
    """The ends of a worker's processes since one of them was well."""

    failures: tuple[float, ...] = ()
    """When they were, oldest first, on a clock that stands still while a process runs."""
    trips: int = 0
    """How often the breaker has opened."""


class Again(NamedTuple):
    """Start another process, so many seconds from now."""

    delay_s: float


class Open(NamedTuple):
    """Start none, for so many seconds."""

    cool_down_s: float
    failures: int


def after_end(history: History, now: float, ran_s: float) -> History:
    """The history after one more end.

    Args:
        now: on the monotonic clock.
        ran_s: seconds for which the process had run.
    """
    earlier = (at + ran_s for at in history.failures)
    recent = (*(at for at in earlier if now - at < WINDOW_S), now)
    # A trial that fails says all there is to know.
    trips = history.trips + (history.trips > 0 or len(recent) >= MAX_FAILURES)
    return History(recent, trips)


def decide(history: History) -> Again | Open:
    """What to do after the newest end: delays double, and so do cool-downs."""
    if history.trips:
        cool_down_s = min(LONGEST_COOL_DOWN_S, COOL_DOWN_S * 2 ** min(history.trips - 1, 16))
        return Open(float(cool_down_s), len(history.failures))
    return Again(float(FIRST_S * 2 ** (len(history.failures) - 1)) if history.failures else 0.0)
