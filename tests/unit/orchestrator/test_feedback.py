"""What was measured is kept, told and learnt from, whatever goes wrong with it."""

from __future__ import annotations

import time
from typing import Any

import pytest
import structlog
from measurements import MIB, PROFILE, ran, use

from mysticanvas.contracts.alerts import Alert
from mysticanvas.contracts.measurements import JobMemory
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.contracts.recipe import Environment
from mysticanvas.errors import StoreFull
from mysticanvas.orchestrator.arbiter import comparison
from mysticanvas.orchestrator.arbiter.feedback import Feedback
from mysticanvas.orchestrator.arbiter.profiles import Profiles
from mysticanvas.store import Store

MOST_MS = 10.0


@pytest.fixture
def alerts() -> list[Alert]:
    return []


@pytest.fixture
def feedback(store: Store, bus: Any, alerts: list[Alert]) -> Feedback:
    return Feedback(store.measurements, Profiles(), bus, alerts.append)


def record(feedback: Feedback, store: Store, *given: Any) -> None:
    """As the end of a job does."""
    measured = feedback.learn(*given)
    store.measurements.add(measured)
    feedback.tell(measured, "image")


def heard(bus: Any) -> list[JobMemory]:
    return [JobMemory.model_validate(data) for kind, data in bus.published if kind == "vram"]


def factors(feedback: Feedback) -> dict[str, float]:
    return dict(feedback.factors(PROFILE, ran().params, "cpu", ()))


def test_a_job_is_kept_and_told(feedback: Feedback, store: Store, bus: Any) -> None:
    record(feedback, store, ran(use("denoise", 100), use("vae_decode", 202)), PROFILE)
    assert feedback.history(10) == store.measurements.newest(10)
    [told] = heard(bus)
    assert list(told.phases) == feedback.history(10)
    assert told.projected_mib == 200 + 507
    assert told.actual_mib == 202 + 507
    [whole, _] = feedback.accuracy()
    assert (whole.phases, whole.under) == (2, 0.5)


def test_small_deviations_are_learnt_by_phase_and_outlast_the_process(
    feedback: Feedback, store: Store, bus: Any
) -> None:
    assert factors(feedback) == {"text_encode": 1.0, "denoise": 1.0, "vae_decode": 1.0}
    record(feedback, store, ran(use("denoise", 104), use("vae_decode", 200)), PROFILE)
    learnt = {"text_encode": 1.0, "denoise": 1.04, "vae_decode": 1.0}
    assert factors(feedback) == pytest.approx(learnt, rel=1e-6)
    again = Feedback(store.measurements, Profiles(), bus, lambda _: None)
    assert factors(again) == pytest.approx(learnt, rel=1e-6)
    record(again, store, ran(use("denoise", 104)), PROFILE)
    assert again.history(1)[-1].corrected == pytest.approx(104 * MIB, rel=1e-6)


def test_a_contradiction_is_told_once_for_each_size_and_not_learnt(
    feedback: Feedback, store: Store, alerts: list[Alert]
) -> None:
    for _ in range(3):
        record(feedback, store, ran(use("denoise", 150), use("vae_decode", 200)), PROFILE)
    assert [alert.kind for alert in alerts] == ["memory_miss"]
    assert "Denoising 'sd15'" in str(alerts[0])
    larger = ran().params.model_copy(update={"width": 1024})
    record(feedback, store, ran(use("denoise", 300), params=larger), PROFILE)
    assert len(alerts) == 2
    assert factors(feedback)["denoise"] == 1.0


def test_memory_that_ran_out_is_counted_on(
    feedback: Feedback, store: Store, alerts: list[Alert]
) -> None:
    record(feedback, store, ran(use("denoise", 0, at_least=True), seconds={}), PROFILE)
    assert factors(feedback)["denoise"] == pytest.approx(comparison.INFLATION)
    assert alerts == []


def test_the_median_of_the_newest_jobs_is_how_long_they_take(
    feedback: Feedback, store: Store
) -> None:
    key = comparison.run_key("m" * 64, ran().params, (), "cpu", "float32", 2)
    assert feedback.seconds(key) is None
    for denoise in (90.0, 1.0, 2.0, 3.0, 4.0, 80.0):
        seconds = {"load": 9.0, "denoise": denoise}
        record(feedback, store, ran(use("denoise", 100), seconds=seconds, job_id=f"{denoise}"))
    assert feedback.seconds(key) == 3.0


class FullKeeper:
    """A store on a disk that is full, and whose rows cannot be read."""

    def __getattr__(self, _: str) -> Any:
        def refuse(*_: object) -> None:
            raise StoreFull("The disk is full.")

        return refuse


def test_without_the_store_it_is_learnt_and_told_all_the_same(
    bus: Any, alerts: list[Alert]
) -> None:
    feedback = Feedback(FullKeeper(), Profiles(), bus, alerts.append)
    feedback.tell(feedback.learn(ran(use("denoise", 150)), PROFILE), "image")
    assert [job.actual_mib for job in heard(bus)] == [650]
    assert len(alerts) == 1
    assert feedback.seconds("key") is None
    assert factors(feedback)["denoise"] == 1.0


def test_whatever_breaks_in_it_fails_no_job(store: Store, bus: Any) -> None:
    def broken(_: Alert) -> None:
        raise RuntimeError

    feedback = Feedback(store.measurements, Profiles(), bus, broken)
    record(feedback, store, ran(use("denoise", 150)), PROFILE)
    assert len(feedback.history(10)) == 1
    record(feedback, store, ran(), PROFILE)
    assert len(feedback.history(10)) == 1


def test_it_takes_a_few_milliseconds(feedback: Feedback, store: Store) -> None:
    times = []
    for _ in range(30):
        began = time.thread_time()
        phases = use("text_encode", 10), use("denoise", 101), use("vae_decode", 200)
        record(feedback, store, ran(*phases), PROFILE)
        times.append(1000 * (time.thread_time() - began))
    # The quickest, since whatever else runs on the machine can only add to it.
    assert min(times) < MOST_MS


def test_weights_that_are_measured_to_be_others_than_was_counted_are_what_the_preset_says(
    store: Store, bus: Any, alerts: list[Alert]
) -> None:
    feedback = Feedback(store.measurements, Profiles(), bus, alerts.append, store.presets)
    preset = store.presets.save(ImagePreset(name="sd15", model="/models/sd15"))
    store.presets.weigh(preset, 495.0, "key")

    def weighs(**changes: Any) -> float | None:
        feedback.weigh(ran(**{"revision": preset.revision, **changes}), "image")
        return store.presets.get("sd15").vram_weights_mib

    half = Environment(device="cpu", dtype="float16", threads=2, versions={})
    on_gpu = half.model_copy(update={"device": "cuda:A", "dtype": "float32"})
    # In another number format than it says it of, as another revision, or not told at all.
    for changes in (
        {"environment": half},
        {"environment": on_gpu},
        {"revision": 7},
        {"weights": 0},
    ):
        assert weighs(**changes) == 495
    with structlog.testing.capture_logs() as lines:
        assert weighs() == 500
        assert weighs() == 500
    [line] = [each for each in lines if each["event"] == "preset_weighs_otherwise"]
    assert (line["counted_mib"], line["measured_mib"], line["dtype"]) == (495, 500, "float32")
    # It is not counted again for that.
    assert store.presets.weighed() == {"sd15": "key"}
    # What LoRAs take is not the preset's.
    assert weighs(weights=520 * MIB, lora_weights=20 * MIB) == 500
    assert alerts == []
    assert weighs(weights=600 * MIB) == 600
    [alert] = alerts
    assert alert.kind == "memory_miss"
    assert "'sd15' take 600.0 MiB in float32 on cpu, 20% more than the 500.0 MiB" in str(alert)


def test_a_preset_that_is_gone_or_was_never_counted_is_no_reason_to_fail(
    store: Store, bus: Any, alerts: list[Alert]
) -> None:
    feedback = Feedback(store.measurements, Profiles(), bus, alerts.append, store.presets)
    feedback.weigh(ran(revision=1), "image")
    preset = store.presets.save(ImagePreset(name="sd15", model="/models/sd15"))
    feedback.weigh(ran(revision=preset.revision), "image")
    assert store.presets.get("sd15").vram_weights_mib == 500
    assert alerts == []
