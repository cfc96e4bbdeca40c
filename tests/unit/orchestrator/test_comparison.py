"""From what a worker measured to rows, corrections and words."""

from __future__ import annotations

from typing import Any

import pytest
from measurements import MIB, NOON, PROFILE, measurement, ran, use

from mysticanvas.contracts.measurements import Measurement
from mysticanvas.contracts.recipe import Environment
from mysticanvas.orchestrator.arbiter import alerts, comparison


def rows(*phases: Any, factor: float = 1.0, profile: Any = PROFILE, **of_ran: Any) -> Any:
    return comparison.rows(ran(*phases, **of_ran), profile, lambda _: factor, NOON)


def test_every_phase_stands_beside_its_prediction() -> None:
    text, denoise, decode = rows(
        use("text_encode", 9), use("denoise", 101), use("vae_decode", 200), factor=1.05
    )
    assert [each.projected / MIB for each in (text, denoise, decode)] == [10, 100, 200]
    assert [each.corrected / MIB for each in (text, denoise, decode)] == pytest.approx(
        [10.5, 105, 210]
    )
    assert [each.actual / MIB for each in (text, denoise, decode)] == [9, 101, 200]
    assert (denoise.seconds, denoise.run_seconds) == (4.0, 6.0)
    # The autoencoder is converted while it decodes.
    assert (denoise.projected_weights, denoise.weights) == (500 * MIB, 500 * MIB)
    assert (decode.projected_weights, decode.weights) == (507 * MIB, 507 * MIB)


def test_without_a_profile_it_is_measured_all_the_same() -> None:
    [row] = rows(use("denoise", 100), profile=None)
    assert (row.projected, row.corrected, row.actual) == (None, None, 100 * MIB)
    assert len(row.key) == 64
    [beside] = rows(use("vae_decode", 3, mitigations=("vae_cpu",)))
    assert beside.projected is None


def test_tiles_are_predicted_as_tiles_and_have_a_key_of_their_own() -> None:
    whole, tiled = rows(use("vae_decode", 200), use("vae_decode", 50, mitigations=("vae_tiling",)))
    assert tiled.projected < whole.projected
    assert tiled.key != whole.key


def test_a_key_is_equal_whatever_the_size_and_differs_by_device_and_batch() -> None:
    params = ran().params
    on_gpu = Environment(device="cuda:A", dtype="float32", threads=2, versions={})
    changes: list[dict[str, Any]] = [
        {},
        {"params": params.model_copy(update={"width": 1024})},
        {"environment": on_gpu},
        {"params": params.model_copy(update={"num_images": 2})},
    ]
    plain, larger, elsewhere, batch = (
        rows(use("vae_decode", 200), **change)[0].key for change in changes
    )
    assert plain == larger
    assert len({plain, elsewhere, batch}) == 3


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"prompt": "y", "seed": 9, "guidance_scale": 5.0}, True),
        ({"guidance_scale": 1.0}, False),
        ({"num_inference_steps": 21}, False),
        ({"width": 520}, False),
        ({"scheduler": "HeunDiscreteScheduler"}, False),
    ],
)
def test_jobs_take_equally_long_that_compute_the_same(change: dict[str, Any], same: bool) -> None:
    def key(params: Any, *ways: str, dtype: str = "float32") -> str:
        return comparison.run_key("m", params, ways, "cpu", dtype, 2)

    params = ran().params
    assert (key(params) == key(params.model_copy(update=change))) is same
    assert len({key(params), key(params, "vae_tiling"), key(params, dtype="bfloat16")}) == 3
    assert key(params) == rows(use("denoise", 1), model="m")[0].run_key


def took(*mib: float, **changes: Any) -> list[Measurement]:
    return [measurement(actual=round(each * MIB), **changes) for each in mib]


def test_a_small_deviation_is_made_up_for_and_a_large_one_never() -> None:
    assert comparison.factor([]) == 1.0
    assert comparison.factor(took(104, 104)) == 1.04
    assert comparison.factor(took(150, 150)) == 1.0
    assert comparison.factor(took(104, projected=None)) == 1.0


def test_where_memory_ran_out_more_is_counted_on_until_it_went_well() -> None:
    ran_out = took(115, at_least=True)
    assert comparison.factor(ran_out) == 1.15
    assert comparison.factor(ran_out + took(104, 104)) == 1.15
    assert comparison.factor(ran_out + took(104, 104, 104)) == 1.04
    twice = took(115, 132, at_least=True)
    assert comparison.factor(twice) == 1.32


def test_a_phase_that_ran_out_took_more_than_was_counted_on() -> None:
    [first] = rows(use("denoise", 3, at_least=True), seconds={})
    assert first.actual == pytest.approx(100 * comparison.INFLATION * MIB, rel=1e-6)
    assert first.run_seconds is None
    [again] = rows(use("denoise", 3, at_least=True), factor=comparison.factor([first]))
    assert again.actual == pytest.approx(first.actual * comparison.INFLATION, rel=1e-6)
    [seen] = rows(use("denoise", 400, at_least=True))
    assert seen.actual == 400 * MIB


@pytest.mark.parametrize(
    ("actual", "changes", "is_miss"),
    [
        (109, {}, False),
        (111, {}, True),
        (89, {}, True),
        (150, {"at_least": True}, False),
        (150, {"projected": None}, False),
        # Whatever its share, this little harms nobody.
        (0.8, {"projected": MIB // 2}, False),
    ],
)
def test_a_miss_is_more_than_is_corrected(actual: float, changes: Any, is_miss: bool) -> None:
    assert comparison.is_miss(took(actual, **changes)[0]) is is_miss


def test_an_alert_says_what_took_how_much_and_what_to_do() -> None:
    [row] = took(150, num_images=2)
    alert = alerts.of(row, "image")
    assert (alert.kind, alert.worker, alert.at) == ("memory_miss", "image", NOON)
    assert str(alert) == (
        "Denoising 'sd15' at 512 × 512 px, 2 at once, took 150.0 MiB on cpu, 50% more than the "
        "100.0 MiB that were predicted, which is too far off to be made up for. Such jobs can run "
        "out of memory unforeseen: leave room for the difference. canvas.vram.history() has the "
        "figures."
    )
    assert "50% less" in str(alerts.of(took(50)[0], "image"))


def test_where_weights_lie_makes_no_other_key_of_a_phase() -> None:
    plain = rows(use("denoise", 100), use("vae_decode", 200, mitigations=("vae_tiling",)))
    moved = ("offload_model",)
    offloaded = rows(
        use("denoise", 100, mitigations=moved),
        use("vae_decode", 200, mitigations=(*moved, "vae_tiling")),
        mitigations=(*moved, "vae_tiling"),
    )
    assert [row.key for row in offloaded] == [row.key for row in plain]
    assert [row.projected for row in offloaded] == [row.projected for row in plain]
    assert offloaded[0].run_key != plain[0].run_key


def test_a_job_that_did_something_twice_says_nothing_about_how_long_such_jobs_take() -> None:
    again = rows(use("denoise", 3, at_least=True), use("vae_decode", 200))
    assert {row.run_seconds for row in again} == {None}
