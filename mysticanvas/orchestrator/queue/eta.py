"""When a job is likely to be done: an estimate from how long others took."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable

_RECENT = 8
_TOO_EARLY = 0.02
"""Below this fraction a stage says nothing about its whole length."""


class Pace:
    """How long the last jobs took. For one thread at a time."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_RECENT)

    def took(self, seconds: float) -> None:
        """Note that a job took so long."""
        self._seconds.append(seconds)

    @property
    def typical_s(self) -> float | None:
        """The median; None before the first."""
        return statistics.median(self._seconds) if self._seconds else None


def running_s(
    fraction: float,
    elapsed_s: float,
    typical_s: float | None,
    began: tuple[float, float] = (0.0, 0.0),
) -> float | None:
    """Seconds that a run still needs: by its own progress, or by what others took.

    Args:
        began: fraction and seconds as its present stage began: how long the model took to be
            loaded says nothing of how long the drawing takes.
    """
    done, took_s = fraction - began[0], elapsed_s - began[1]
    if done > _TOO_EARLY:
        return max(0.0, took_s * (1 - min(1.0, fraction)) / done)
    return None if typical_s is None else max(0.0, typical_s - elapsed_s)


def waiting_s(ahead: int, runs: Iterable[float | None], typical_s: float | None) -> float | None:
    """Seconds until a job is done that waits behind `ahead` others and these runs."""
    if typical_s is None:
        return None
    return sum(run or 0.0 for run in runs) + (ahead + 1) * typical_s
