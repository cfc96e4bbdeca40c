"""Whether and when a worker that ended is started again: a pure decision.

Ends in quick succession wait longer and longer for the next start; after a few of them nothing is
started for a while (the breaker is open), then one trial is made.
"""

from __future__ import annotations

from typing import NamedTuple

FIRST_S = 0.1
MAX_FAILURES = 5
"""Quick ends within `WINDOW_S` after which the breaker opens."""
WINDOW_S = 60.0
STABLE_S = 10.0
"""A process that ran this long, or finished a job, was well; its end starts the count anew."""
COOL_DOWN_S = 30.0
LONGEST_COOL_DOWN_S = 600.0


class History(NamedTuple):
    """The ends of a worker's processes, as far as they matter."""

    failures: tuple[float, ...] = ()
    """When processes ended that had not been well, on the monotonic clock, oldest first."""
    trips: int = 0
    """How often the breaker has opened since a process was well."""


class Again(NamedTuple):
    """Start another process, so many seconds from now."""

    delay_s: float


class Open(NamedTuple):
    """Start none, for so many seconds."""

    cool_down_s: float
    failures: int


def after_end(history: History, now: float, ran_s: float, useful: bool) -> History:
    """The history after one more end.

    Args:
        now: on the monotonic clock.
        ran_s: seconds for which the process had run.
        useful: whether it had finished a job.
    """
    if useful or ran_s >= STABLE_S:
        return History((now,))
    recent = (*(at for at in history.failures if now - at < WINDOW_S), now)
    # A trial that fails says all there is to know.
    trips = history.trips + (history.trips > 0 or len(recent) >= MAX_FAILURES)
    return History(recent, trips)


def decide(history: History) -> Again | Open:
    """What to do after the newest end: delays double, and so do cool-downs."""
    if history.trips:
        cool_down_s = min(LONGEST_COOL_DOWN_S, COOL_DOWN_S * 2 ** min(history.trips - 1, 16))
        return Open(float(cool_down_s), len(history.failures))
    return Again(float(FIRST_S * 2 ** (len(history.failures) - 1)) if history.failures else 0.0)
