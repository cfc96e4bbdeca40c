from pathlib import Path

import pytest

from mysticanvas.contracts import params
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.errors import InvalidRequest
from mysticanvas.orchestrator.models import Model
from mysticanvas.orchestrator.resolution import resolve

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


def test_the_seed_of_a_preset_is_used_unless_one_is_to_be_drawn() -> None:
    series = PRESET.replace(default_params={"seed": 7})
    assert resolve(params.parse(prompt="x"), series, MODEL).seed == 7
    assert resolve(params.parse(prompt="x", reuse=True), series, MODEL).seed == 7
    assert resolve(params.parse(prompt="x", seed=3), series, MODEL).seed == 3
    assert resolve(params.parse(prompt="x", seed=-1), series, MODEL, drawn_seed=9).seed == 9
    none = PRESET.replace(default_params={"seed": -1})
    assert resolve(params.parse(prompt="x"), none, MODEL, drawn_seed=9).seed == 9


def test_a_scheduler_of_the_users_comes_without_the_settings_of_the_presets_own() -> None:
    changes = {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": False}
    preset = PRESET.replace(default_params={"scheduler": "dpmpp_2m", "scheduler_config": changes})
    assert resolve(params.parse(prompt="x"), preset, MODEL).scheduler_config == changes
    assert resolve(params.parse(prompt="x", scheduler="ddim"), preset, MODEL).scheduler_config == {}
    karras = params.parse(prompt="x", scheduler="dpmpp_2m_karras")
    assert resolve(karras, preset, MODEL).scheduler_config == {"use_karras_sigmas": True}


def test_a_setting_of_the_presets_that_is_none_is_said_to_be_the_presets() -> None:
    preset = PRESET.replace(default_params={"scheduler_config": {"algorithm_type": "x"}})
    with pytest.raises(InvalidRequest, match="default_params of the preset 'p': scheduler_config"):
        resolve(params.parse(prompt="x"), preset, MODEL)


def test_a_given_seed_is_kept_even_if_it_is_zero() -> None:
    assert resolve(params.parse(prompt="x", seed=0), PRESET, MODEL).seed == 0


@pytest.mark.parametrize(
    "pipeline",
    ["StableDiffusion3Pipeline", "FluxPipeline", "QwenImagePipeline", "ZImagePipeline"],
)
@pytest.mark.parametrize("side", ["width", "height"])
def test_a_side_that_the_architecture_cannot_have_is_refused(pipeline: str, side: str) -> None:
    patched = MODEL._replace(pipeline=pipeline)
    with pytest.raises(InvalidRequest, match=f"{side}=520 .*a multiple of 16") as refused:
        resolve(params.parse(**{"prompt": "x", side: 520}), PRESET, patched)
    assert refused.value.extra["parameter"] == side
    assert resolve(params.parse(prompt="x", **{side: 528}), PRESET, patched)
    assert resolve(params.parse(prompt="x", **{side: 520}), PRESET, MODEL)
