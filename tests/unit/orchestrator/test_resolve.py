from pathlib import Path

from mysticanvas.contracts import params
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.orchestrator.models import Model
from mysticanvas.orchestrator.queue.resolve import resolve

MODEL = Model(
    path=Path("/m"),
    pipeline="StableDiffusionPipeline",
    scheduler="DDIMScheduler",
    side_px=(128, 96),
    files={"unet/model.safetensors": "a" * 64},
    default_params={"num_inference_steps": 50, "guidance_scale": 7.5},
    world=None,
)
PRESET = ImagePreset(name="p", model="/m", default_params={"num_inference_steps": 20})


def test_what_was_not_given_comes_from_the_preset_then_from_the_model() -> None:
    resolved = resolve(params.parse(prompt="x", height=64), PRESET, MODEL)
    assert (resolved.width, resolved.height) == (128, 64)
    assert resolved.num_inference_steps == 20
    assert resolved.guidance_scale == 7.5
    assert resolved.scheduler == "DDIMScheduler"


def test_an_alias_is_a_class_and_a_configuration_that_the_user_may_change() -> None:
    asked = params.parse(
        prompt="x", scheduler="dpmpp_2m_karras", scheduler_config={"use_karras_sigmas": False}
    )
    resolved = resolve(asked, PRESET, MODEL)
    assert resolved.scheduler == "DPMSolverMultistepScheduler"
    assert resolved.scheduler_config == {"use_karras_sigmas": False}


def test_a_seed_is_drawn_and_is_another_each_time() -> None:
    asked = params.parse(prompt="x")
    assert len({resolve(asked, PRESET, MODEL).seed for _ in range(20)}) == 20


def test_with_reuse_the_seed_follows_from_the_request() -> None:
    asked = params.parse(prompt="x", reuse=True)
    again = params.parse(prompt="x", reuse=True, seed=-1)
    other = params.parse(prompt="y", reuse=True)
    assert resolve(asked, PRESET, MODEL) == resolve(again, PRESET, MODEL)
    assert resolve(asked, PRESET, MODEL).seed != resolve(other, PRESET, MODEL).seed


def test_a_given_seed_is_kept_even_if_it_is_zero() -> None:
    assert resolve(params.parse(prompt="x", seed=0), PRESET, MODEL).seed == 0
