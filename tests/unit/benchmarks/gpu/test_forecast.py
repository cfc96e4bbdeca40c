import pytest

from benchmarks.gpu import forecast
from benchmarks.gpu.points import PIPELINES, PROMPT, Point
from mysticanvas.contracts.recipe import ResolvedParams
from mysticanvas.contracts.tracing import (
    Envelope,
    EnvelopeKey,
    ImageProfile,
    LatentSpace,
    Row,
    Traced,
)
from mysticanvas.orchestrator.arbiter import ways
from mysticanvas.orchestrator.arbiter.suggestion import Size
from mysticanvas.vram.image import Surroundings, predict

MIB = 1 << 20
AROUND = Surroundings(context_bytes=500 * MIB, context_known="probed", workspace_bytes=32 * MIB)


def traced(phase, batch, per_pixel: float) -> Traced:
    key = EnvelopeKey(
        phase=phase, architecture="Model", config="0" * 64, device="cuda", dtype="float16",
        attention="flash", batch=batch, versions={},
    )  # fmt: skip
    row = Row(live=(0.0, 0.0, 0.0, 0.0, per_pixel, 0.0), workspace=(0.0,) * 6)
    return Traced(key=key, component="model", envelope=Envelope(rows=(row,)))


def profile(images="one") -> ImageProfile:
    return ImageProfile(
        dtype="float16",
        device="cuda",
        weights={"unet": 400 * MIB, "vae": 50 * MIB},
        decoding_weights=50 * MIB,
        latents=LatentSpace(factor=8, channels=4, embedding=64),
        traced=(
            traced("text_encode", "one", 1000),
            traced("denoise", "more", 10_000),
            traced("vae_decode", images, 90_000),
        ),
    )


def test_what_is_given_out_is_what_the_product_predicts_without_context_and_margin() -> None:
    point = Point("sdxl", 1024, 768)
    found = forecast.forecast(profile(), point, AROUND)
    made = predict(profile(), forecast.work_of(point), AROUND)
    assert found.total == pytest.approx(made.total_mib * MIB, abs=10)
    assert found.allocated == found.phases["vae_decode"]
    assert found.total == found.allocated + found.safety + AROUND.context_bytes
    assert found.phases["denoise"] - found.activations["denoise"] == (450 + 32) * MIB
    assert found.phases["vae_decode"] - found.activations["vae_decode"] == (500 + 32) * MIB


def test_decoding_on_the_cpu_counts_for_nothing() -> None:
    found = forecast.forecast(profile(), Point("sdxl", 1024, 768, 1, ("vae_cpu",)), AROUND)
    assert found.phases.keys() == {"text_encode", "denoise"}
    assert found.allocated == found.phases["denoise"]


def test_a_measurement_of_a_phase_loses_what_does_not_depend_on_the_request() -> None:
    found = forecast.forecast(profile(), Point("sdxl", 1024, 768), AROUND)
    measured = {phase: size + 7 for phase, size in found.phases.items()}
    activations = forecast.activations_of(measured, found)
    assert activations == {phase: size + 7 for phase, size in found.activations.items()}
    assert forecast.activations_of({}, found) == {}


@pytest.mark.parametrize("model", PIPELINES)
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("names", [(), ("vae_tiling",), ("vae_slicing", "vae_cpu")])
def test_a_point_is_described_as_a_plan_describes_its_request(model, plain, names) -> None:
    point = Point(model, 1024, 768, 2, names, plain=plain)
    of_model = profile().model_copy(update={"pipeline": PIPELINES[model], "tokens": point.tokens})
    params = ResolvedParams(
        prompt=PROMPT, width=1024, height=768, num_inference_steps=2, num_images=2, seed=1,
        guidance_scale=point.guidance, scheduler="x",
    )  # fmt: skip
    asked = ways.Asked.of(of_model, params)
    planned = ways.work(of_model, Size(1024, 768, 2), asked, names)
    assert forecast.work_of(point) == planned


def test_the_classes_of_batches_follow_guidance_pictures_and_slices() -> None:
    assert forecast.batches(Point("sdxl", 64, 64)) == ("sdxl", "more", "one")
    assert forecast.batches(Point("flux", 64, 64)) == ("flux", "one", "one")
    assert forecast.batches(Point("flux", 64, 64, 2)) == ("flux", "more", "more")
    assert forecast.batches(Point("sd15", 64, 64, 2, ("vae_slicing",))) == ("sd15", "more", "one")


def test_profiles_of_a_model_become_one_with_all_envelopes() -> None:
    given = {
        forecast.Batches("sdxl", "more", "one"): profile("one"),
        forecast.Batches("sdxl", "more", "more"): profile("more"),
    }
    found = forecast.merged(given)["sdxl"].traced
    assert sorted((each.key.phase, each.key.batch) for each in found) == [
        ("denoise", "more"),
        ("text_encode", "one"),
        ("vae_decode", "more"),
        ("vae_decode", "one"),
    ]
