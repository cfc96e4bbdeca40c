import pytest

from benchmarks.gpu import verdict
from benchmarks.gpu.forecast import Forecast
from benchmarks.gpu.points import Point
from benchmarks.gpu.verdict import Guess, Seen

POINT, OTHER = Point("sd15", 512, 512), Point("sd15", 768, 768)


def made(denoise: int, decode: int) -> Forecast:
    """A prediction of a model with weights of 1,000 bytes."""
    phases = {"denoise": 1000 + denoise, "vae_decode": 1000 + decode}
    most = max(phases.values())
    return Forecast(phases, {"denoise": denoise, "vae_decode": decode}, most, 30, most + 30 + 500)


def test_a_measurement_is_the_most_of_its_phases_and_the_device_without_the_others() -> None:
    answer = {
        "phases": {
            "denoise": {"allocated": 5, "reserved": 9, "device": 120},
            "vae_decode": {"allocated": 7, "reserved": 8, "device": 110},
        }
    }
    found = verdict.seen(answer, before=100, on_cpu=False)
    assert found == Seen({"denoise": 5, "vae_decode": 7}, 9, 20)
    assert found.allocated == 7


def test_decoding_on_the_cpu_says_nothing_of_what_is_given_out_on_the_gpu() -> None:
    answer = {"phases": {"denoise": {"allocated": 5}, "vae_decode": {"allocated": 7}}}
    found = verdict.seen(answer, before=None, on_cpu=True)
    assert found == Seen({"denoise": 5}, None, None)


def test_a_deviation_is_below_zero_where_too_little_was_predicted() -> None:
    assert verdict.deviation(90, 100) == pytest.approx(-10)
    assert verdict.deviation(None, 100) is None
    assert verdict.deviation(90, None) is None


def test_corrections_are_learned_from_the_activations_of_fitted_points_alone() -> None:
    guesses = {
        POINT: Guess(made(100, 200), None, None),
        OTHER: Guess(made(400, 800), None, None),
    }
    measured = {
        POINT: Seen({"denoise": 1105, "vae_decode": 1200}, None, None),
        OTHER: Seen({"denoise": 9000, "vae_decode": 9000}, None, None),
    }
    found = verdict.corrections(guesses, measured, [POINT])
    assert found["sd15", "denoise"].factor == pytest.approx(1.05)
    assert found["sd15", "vae_decode"].factor == 1.0


def test_a_row_says_whether_the_margins_were_enough() -> None:
    guess = Guess(made(100, 200), 1500, 2000)
    fine = verdict.row(guess, Seen({"denoise": 1100, "vae_decode": 1230}, 1600, 1730), guess.made)
    assert (fine["beyond_safety"], fine["beyond_plan"]) == (False, False)
    assert fine["allocated"] == pytest.approx((1200 / 1230 - 1) * 100)
    assert fine["activations"]["vae_decode"] == pytest.approx((200 / 230 - 1) * 100)
    low = verdict.row(guess, Seen({"denoise": 1100, "vae_decode": 1231}, 1600, 1731), guess.made)
    assert (low["beyond_safety"], low["beyond_plan"]) == (True, True)


def test_a_summary_has_the_mean_of_sizes_the_worst_with_its_sign_and_counts() -> None:
    guess = Guess(made(100, 200), None, None)
    rows = [
        verdict.row(guess, Seen({"vae_decode": size}, None, None), guess.made)
        for size in (1200, 1250, 1180)
    ]
    found = verdict.summary(rows)
    assert found["points"] == 3
    assert found["allocated"]["worst"] == pytest.approx(-4.0)
    assert found["allocated"]["mean"] == pytest.approx((4.0 + 0.0 + 100 * (1200 / 1180 - 1)) / 3)
    assert found["reserved"] is None
    assert found["beyond_safety"] == 1
    assert found["beyond_plan"] is None
