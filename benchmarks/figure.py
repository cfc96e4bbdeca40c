"""One figure: what was measured, and the bar it has to meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from benchmarks.statistics import Summary, percentile, summarize

Unit = Literal["ms", "s", "MB", "times", "%"]

_TEXT: dict[Unit, str] = {
    "ms": "{:.0f} ms",
    "s": "{:.1f} s",
    "MB": "{:.0f} MB",
    "times": "{:.1f} ×",
    "%": "{:.0f} %",
}
_FINE: dict[Unit, str] = {"ms": "{:.1f} ms", "s": "{:.2f} s", "times": "{:.2f} ×", "%": "{:.3f} %"}
_FINE_BELOW = {"ms": 20.0, "s": 2.0, "times": 2.0, "%": 10.0}
"""Values below that are told with another digit, since their bars have one."""


class Bar(NamedTuple):
    """What a value has to reach, or must not exceed."""

    value: float
    sign: Literal["≤", "≥"] = "≤"

    def met_by(self, value: float) -> bool:
        return value <= self.value if self.sign == "≤" else value >= self.value


class Figure(NamedTuple):
    """A measured value beside its bar."""

    name: str
    what: str
    value: float
    unit: Unit
    bar: Bar | None
    """None if it is only reported."""
    n: int
    low: float
    high: float
    """Tenth and ninetieth percentile of the measurements."""

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None if there is none."""
        return None if self.bar is None else self.bar.met_by(self.value)

    def to_json(self) -> dict[str, Any]:
        rounded = {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in self._asdict().items()
        }
        bar = {"bar": None} if self.bar is None else {"bar": self.bar.value, "sign": self.bar.sign}
        return {**rounded, **bar, "met": self.met}

    def __str__(self) -> str:
        spread = f"{told(self.low, self.unit)} … {told(self.high, self.unit)}"
        bar = ""
        if self.bar is not None:
            verdict = "met" if self.met else "MISSED"
            bar = f"{self.bar.sign} {told(self.bar.value, self.unit)}  {verdict}"
        value = told(self.value, self.unit)
        return f"{self.what:40}{value:>10}  ({spread}, n = {self.n})".ljust(84) + bar


class LeftOut(NamedTuple):
    """What could not be measured, and why."""

    what: str
    why: str

    @property
    def met(self) -> None:
        """Nothing was measured, so nothing is said of a bar."""
        return None

    def to_json(self) -> dict[str, Any]:
        return {"what": self.what, "left_out": self.why}

    def __str__(self) -> str:
        return f"{self.what:40}left out: {self.why}"


class Absent(Exception):
    """What is to be measured is not there; the text says what is missing."""


Finding = Figure | LeftOut


def attempt(what: str, measure: Callable[[], Sequence[Finding]]) -> list[Finding]:
    """The figures that `measure` gives, or that they are left out."""
    try:
        return list(measure())
    except Absent as missing:
        return [LeftOut(what, str(missing))]


def told(value: float, unit: Unit) -> str:
    """The value with its unit, as people read it."""
    fine = value < _FINE_BELOW.get(unit, 0.0)
    return (_FINE if fine else _TEXT)[unit].format(value)


def duration(name: str, what: str, seconds: Summary, bar_ms: float | None = None) -> Figure:
    """A figure in milliseconds, of measurements in seconds."""
    return _median(name, what, _scaled(seconds, 1e3), "ms", _at_most(bar_ms))


def slowest(name: str, what: str, seconds: Sequence[float], bar_ms: float | None = None) -> Figure:
    """The 99th percentile in milliseconds, of measurements in seconds."""
    figure = duration(name, what, summarize(seconds), bar_ms)
    return figure._replace(value=percentile(seconds, 99) * 1e3)


def long_duration(name: str, what: str, seconds: Summary, bar_s: float | None = None) -> Figure:
    """A figure in seconds."""
    return _median(name, what, seconds, "s", _at_most(bar_s))


def memory(name: str, what: str, size: Summary, bar_mb: float | None = None) -> Figure:
    """A figure in megabytes (10^6 bytes), of measurements in bytes."""
    return _median(name, what, _scaled(size, 1e-6), "MB", _at_most(bar_mb))


def ratio(name: str, what: str, times: Summary, bar: float | None = None) -> Figure:
    """How many times one thing is another, which has to be at least the bar."""
    return _median(name, what, times, "times", None if bar is None else Bar(bar, "≥"))


def growth(name: str, what: str, times: Summary, bar: float | None = None) -> Figure:
    """How many times one thing is another, which must be at most the bar."""
    return _median(name, what, times, "times", _at_most(bar))


def percentage(name: str, what: str, share: Summary, bar: float | None = None) -> Figure:
    """A figure in percent, which must be at most the bar."""
    return _median(name, what, share, "%", _at_most(bar))


def deviation(name: str, what: str, shares: Sequence[float], bar: float | None = None) -> Figure:
    """The mean of deviations in percent, whichever their sign."""
    sizes = [abs(share) * 100 for share in shares]
    figure = _median(name, what, summarize(sizes), "%", _at_most(bar))
    return figure._replace(value=sum(sizes) / len(sizes))


def _median(name: str, what: str, summary: Summary, unit: Unit, bar: Bar | None) -> Figure:
    n, median, low, high = summary
    return Figure(name, what, median, unit, bar, n, low, high)


def _scaled(summary: Summary, factor: float) -> Summary:
    n, median, low, high = summary
    return Summary(n, median * factor, low * factor, high * factor)


def _at_most(value: float | None) -> Bar | None:
    return None if value is None else Bar(value)
