import time

import pytest

from benchmarks.gpu.campaign import Campaign, Options
from benchmarks.gpu.forecast import Forecast
from benchmarks.gpu.points import Plan, Point
from benchmarks.gpu.verdict import Guess

SMALL, LARGE, UNKNOWN = Point("sdxl", 64, 64), Point("flux", 64, 64), Point("sd3", 64, 64)


@pytest.fixture
def campaign(tmp_path) -> Campaign:
    """On a device with room for 900 bytes."""
    plan = Plan((SMALL, LARGE, UNKNOWN), frozenset({LARGE}))
    made = Campaign(plan, Options("cuda", True, time.monotonic(), 1, 1), tmp_path)
    made._probes = {"first": {"total": 1000}, "foreign": 100}
    forecast = Forecast({"denoise": 700}, {"denoise": 100}, 700, 30, 950)
    made._guesses = {SMALL: Guess(forecast, 800, 900), LARGE: Guess(forecast, None, None)}
    return made


def test_what_the_device_is_too_small_for_is_not_begun(campaign) -> None:
    orders = [order.content for order in campaign._orders()]
    measured = [each["point"][0] for each in orders if each["kind"] == "measure"]
    asked = [each["model"] for each in orders if each["kind"] == "attention"]
    assert measured == asked == ["sdxl", "sd3"]


def test_it_is_named_apart_from_what_there_was_no_time_for(campaign, capsys) -> None:
    campaign._measure()
    line = "flux 64×64: left out, since it is predicted to take 0 MiB, and there are 0"
    assert line in capsys.readouterr().out
    results = campaign.results(1.0)
    assert results["too_large"] == ["flux 64×64"]
    assert results["not_measured"] == ["sdxl 64×64", "sd3 64×64"]


def test_without_a_gpu_everything_fits(campaign) -> None:
    campaign._probes = {}
    assert all(map(campaign._fits, campaign._points))
