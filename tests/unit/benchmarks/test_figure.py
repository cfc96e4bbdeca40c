import pytest

from benchmarks.figure import Figure, duration, ratio
from benchmarks.statistics import summarize


def test_a_time_has_to_stay_below_its_bar_and_is_told_in_milliseconds() -> None:
    figure = duration("a", "what", summarize([0.1, 0.2, 0.3]), 200.0)
    assert (figure.value, figure.unit) == (pytest.approx(200.0), "ms")
    assert figure.met
    assert not figure._replace(bar=199.0).met


def test_a_ratio_has_to_reach_its_bar() -> None:
    figure = ratio("a", "what", summarize([4.0, 5.0, 6.0]), 5.0)
    assert figure.met
    assert not figure._replace(bar=5.1).met


def test_what_is_only_reported_is_neither_met_nor_missed() -> None:
    assert duration("a", "what", summarize([1.0])).met is None


def test_json_is_rounded_and_says_whether_the_bar_is_met() -> None:
    figure = Figure("a", "what", 1.23456, "ms", 2.0, 3, 1.0, 1.5)
    assert figure.to_json() == {
        "name": "a", "what": "what", "value": 1.235, "unit": "ms", "bar": 2.0, "n": 3,
        "low": 1.0, "high": 1.5, "met": True,
    }  # fmt: skip
