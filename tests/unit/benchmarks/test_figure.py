import pytest

from benchmarks.figure import (
    Absent,
    Bar,
    Figure,
    Finding,
    LeftOut,
    Unit,
    attempt,
    duration,
    growth,
    long_duration,
    memory,
    percentage,
    ratio,
    slowest,
    told,
)
from benchmarks.statistics import summarize


def test_a_time_has_to_stay_below_its_bar_and_is_told_in_milliseconds() -> None:
    figure = duration("a", "what", summarize([0.1, 0.2, 0.3]), 200.0)
    assert (figure.value, figure.unit) == (pytest.approx(200.0), "ms")
    assert figure.met
    assert not figure._replace(bar=Bar(199.0)).met


def test_a_ratio_has_to_reach_its_bar() -> None:
    figure = ratio("a", "what", summarize([4.0, 5.0, 6.0]), 5.0)
    assert figure.met
    assert not figure._replace(bar=Bar(5.1, "≥")).met


def test_a_percentage_must_not_exceed_its_bar() -> None:
    figure = percentage("a", "what", summarize([0.2, 0.4, 0.6]), 0.5)
    assert figure.met
    assert not figure._replace(bar=Bar(0.3)).met


def test_what_is_only_reported_is_neither_met_nor_missed() -> None:
    assert duration("a", "what", summarize([1.0])).met is None


def test_json_is_rounded_and_says_whether_the_bar_is_met() -> None:
    figure = Figure("a", "what", 1.23456, "ms", Bar(2.0), 3, 1.0, 1.5)
    assert figure.to_json() == {
        "name": "a", "what": "what", "value": 1.235, "unit": "ms", "bar": 2.0, "sign": "≤", "n": 3,
        "low": 1.0, "high": 1.5, "met": True,
    }  # fmt: skip


def test_a_growth_must_not_exceed_its_bar() -> None:
    figure = growth("a", "what", summarize([1.0, 1.2, 1.6]), 1.3)
    assert figure.met
    assert not figure._replace(bar=Bar(1.1)).met


def test_seconds_and_bytes_are_told_in_their_units() -> None:
    assert long_duration("a", "what", summarize([1.5]), 2.0).value == 1.5
    assert memory("a", "what", summarize([250e6]), 400.0).value == pytest.approx(250)
    assert memory("a", "what", summarize([250e6]), 400.0).met


def test_the_slowest_is_the_last_hundredth() -> None:
    figure = slowest("a", "what", [0.001] * 990 + [0.5] * 10, 10.0)
    assert figure.value > 1.0
    assert duration("a", "what", summarize([0.001] * 990 + [0.5] * 10)).value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2.34, "ms", "2.3 ms"),
        (1234.4, "ms", "1234 ms"),
        (1.456, "s", "1.46 s"),
        (29.96, "s", "30.0 s"),
        (399.6, "MB", "400 MB"),
        (1.28, "times", "1.28 ×"),
        (4.26, "times", "4.3 ×"),
        (0.0449, "%", "0.045 %"),
        (99.6, "%", "100 %"),
    ],
)
def test_a_value_has_as_many_digits_as_its_bar(value: float, unit: Unit, text: str) -> None:
    assert told(value, unit) == text


def test_a_row_says_value_spread_and_verdict() -> None:
    row = str(duration("a", "what it is", summarize([0.004]), 3.0))
    assert "what it is" in row
    assert "4.0 ms" in row
    assert row.endswith("≤ 3.0 ms  MISSED")


def test_what_is_absent_is_left_out_and_neither_met_nor_missed() -> None:
    def measure() -> list[Finding]:
        raise Absent("there is no search")

    (left_out,) = attempt("a search", measure)
    assert left_out == LeftOut("a search", "there is no search")
    assert left_out.met is None
    assert left_out.to_json() == {"what": "a search", "left_out": "there is no search"}
    assert "left out: there is no search" in str(left_out)
