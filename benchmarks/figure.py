"""One figure: what was measured, and the bar it has to meet."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from benchmarks.statistics import Summary


class Figure(NamedTuple):
    """A measured value beside its bar."""

    name: str
    what: str
    value: float
    unit: Literal["ms", "times"]
    bar: float | None
    """At most that for a time, at least that for a ratio; None if it is only reported."""
    n: int
    low: float
    high: float
    """Tenth and ninetieth percentile of the measurements."""

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None if there is none."""
        if self.bar is None:
            return None
        return self.value >= self.bar if self.unit == "times" else self.value <= self.bar

    def to_json(self) -> dict[str, Any]:
        rounded = {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in self._asdict().items()
        }
        return {**rounded, "met": self.met}


def duration(name: str, what: str, seconds: Summary, bar_ms: float | None = None) -> Figure:
    """A figure in milliseconds, of measurements in seconds."""
    n, median, low, high = seconds
    return Figure(name, what, median * 1e3, "ms", bar_ms, n, low * 1e3, high * 1e3)


def ratio(name: str, what: str, times: Summary, bar: float | None = None) -> Figure:
    """A figure that says how many times one thing is another."""
    return Figure(name, what, times.median, "times", bar, times.n, times.low, times.high)
