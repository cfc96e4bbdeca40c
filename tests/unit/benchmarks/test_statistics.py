import pytest

from benchmarks.statistics import limit, percentile, summarize


def test_a_summary_has_the_median_and_the_outer_tenths_whatever_the_order() -> None:
    assert summarize([5, 1, 2, 4, 3]) == (5, 3, 1.4, 4.6)
    assert summarize([4, 1, 3, 2]).median == 2.5


def test_one_measurement_is_its_own_spread() -> None:
    assert summarize([7.0]) == (1, 7.0, 7.0, 7.0)


@pytest.mark.parametrize(("percent", "value"), [(0, 10), (25, 20), (50, 30), (62.5, 35), (100, 50)])
def test_a_percentile_lies_between_its_neighbours(percent: float, value: float) -> None:
    assert percentile([50, 10, 40, 20, 30], percent) == pytest.approx(value)


def test_an_outlier_moves_the_spread_and_not_the_median() -> None:
    calm, disturbed = [1.0] * 20, [1.0] * 17 + [9.0] * 3
    assert summarize(calm).median == summarize(disturbed).median
    assert summarize(calm).high < summarize(disturbed).high


def test_nothing_measured_has_no_summary() -> None:
    with pytest.raises(ValueError, match="median"):
        summarize([])


def test_a_limit_is_a_share_and_an_allowance() -> None:
    assert limit(800, 1.03, 40) == pytest.approx(864)
