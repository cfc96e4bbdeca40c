from typing import Any

import numpy as np
import pytest

from mysticanvas.contracts import params
from mysticanvas.contracts.recipe import Recipe, ResolvedParams
from mysticanvas.errors import InvalidRequest


def test_every_parameter_says_what_is_allowed() -> None:
    assert params.ALLOWED.keys() == params.GenerateParams.model_fields.keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompt", 3),
        ("prompt", None),
        ("prompt", "x" * 20_001),
        ("negative_prompt", b"x"),
        ("width", True),
        ("width", "64"),
        ("width", 64.0),
        ("width", 100),
        ("width", 0),
        ("width", -8),
        ("height", 16_392),
        ("num_inference_steps", 0),
        ("num_inference_steps", 1_001),
        ("num_inference_steps", 2.5),
        ("guidance_scale", float("nan")),
        ("guidance_scale", float("inf")),
        ("guidance_scale", -1),
        ("guidance_scale", "7"),
        ("guidance_scale", True),
        ("seed", -2),
        ("seed", 2**63),
        ("seed", False),
        ("seed", 1.0),
        ("scheduler", "warp_drive"),
        ("scheduler", 1),
        ("scheduler_config", [1]),
        ("scheduler_config", {"a": object()}),
        ("scheduler_config", {"a": float("nan")}),
        ("scheduler_config", {"a": [1, {"b": float("-inf")}]}),
        ("num_images", 0),
        ("num_images", 65),
        ("preset", ""),
        ("preset", 1),
        ("priority", "urgent"),
        ("mitigations", "some"),
        ("reuse", 1),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        params.parse(**{"prompt": "p", name: value})
    assert refused.value.parameter == name
    assert refused.value.allowed == params.ALLOWED[name]
    assert len(refused.value.value) <= 100
    assert name in str(refused.value)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("steps", "num_inference_steps"),
        ("cfg", "guidance_scale"),
        ("sampler", "scheduler"),
        ("size", "width"),
        ("model", "preset"),
        ("generator", "seed"),
        ("hieght", "height"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        params.parse(prompt="p", **{wrong: 1})
    assert refused.value.parameter == wrong
    assert right in str(refused.value)


def test_a_name_that_stands_for_several_is_answered_with_all_of_them() -> None:
    with pytest.raises(InvalidRequest, match="Did you mean 'width' and 'height'") as refused:
        params.parse(prompt="p", image_size=512)
    assert refused.value.allowed == "width, height"


def test_what_a_canvas_has_is_told_so() -> None:
    with pytest.raises(InvalidRequest, match=r"Canvas\(project=…\)") as refused:
        params.parse(prompt="p", project="castle")
    assert "Did you mean" not in str(refused.value)


@pytest.mark.parametrize("name", ["image", "mask_image", "init_image"])
def test_a_name_that_only_looks_like_one_of_ours_has_no_nearest(name: str) -> None:
    with pytest.raises(InvalidRequest, match="There are: prompt,") as refused:
        params.parse(prompt="p", **{name: 1})
    assert "Did you mean" not in str(refused.value)


@pytest.mark.parametrize("name", ["style", "image", "mask_image", "strength", "pipeline_kwargs"])
def test_a_name_that_is_still_to_come_is_no_typing_error(name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"no parameter '{name}' yet; it comes in a later"):
        params.parse(prompt="p", **{name: 1})


def test_what_is_no_parameter_of_a_picture_is_named_too() -> None:
    with pytest.raises(InvalidRequest, match="Did you mean 'after_crash'"):
        params.parse(prompt="p", after_crsh="cancel")
    with pytest.raises(InvalidRequest, match="reuse, after_crash"):
        params.parse(prompt="p", qqqq=1)


def test_every_seed_of_a_batch_can_be_asked_for() -> None:
    assert params.parse(prompt="p", seed=2**63 - 2, num_images=2).seed == 2**63 - 2
    with pytest.raises(InvalidRequest, match=r"at most 2\*\*63 - 2") as refused:
        params.parse(prompt="p", seed=2**63 - 1, num_images=2)
    assert (refused.value.parameter, refused.value.value) == ("seed", str(2**63 - 1))
    assert refused.value.allowed == params.ALLOWED["seed"]


def test_an_unknown_name_far_from_all_lists_them() -> None:
    with pytest.raises(InvalidRequest, match="num_inference_steps, guidance_scale"):
        params.parse(prompt="p", qqqq=1)


def test_a_misspelt_scheduler_is_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidRequest, match="Did you mean 'euler'"):
        params.parse(prompt="p", scheduler="eulr")


def test_numpy_numbers_are_numbers() -> None:
    parsed = params.parse(
        prompt="p", width=np.int32(64), seed=np.int64(3), guidance_scale=np.float32(3)
    )
    assert (parsed.width, parsed.seed, parsed.guidance_scale) == (64, 3, 3.0)
    with pytest.raises(InvalidRequest):
        params.parse(prompt="p", num_images=np.bool_(True))


def test_the_limits_themselves_are_allowed() -> None:
    params.parse(prompt="x" * 20_000, width=16_384, height=8, num_inference_steps=1, seed=2**63 - 1)


def test_seed_minus_one_is_kept_since_it_overrules_a_preset() -> None:
    assert params.parse(prompt="p", seed=-1).seed == -1


RECIPE = Recipe(
    preset="p",
    pipeline="StableDiffusionPipeline",
    params=ResolvedParams(
        prompt="x",
        width=64,
        height=64,
        num_inference_steps=2,
        guidance_scale=3.0,
        seed=7,
        scheduler="DDIMScheduler",
    ),
    model_files={},
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompt", "x" * 20_001),
        ("width", 100),
        ("width", -8),
        ("height", 10**6),
        ("num_inference_steps", 0),
        ("guidance_scale", float("nan")),
        ("seed", -5),
        ("seed", -1),
        ("seed", 2**63),
        ("num_images", 0),
        ("num_images", 1000),
        ("scheduler_config", {"beta_start": float("inf")}),
        ("loras", {"lora_1": 50.0}),
    ],
)
def test_a_recipe_has_the_limits_of_generate_and_can_be_read_without_them(
    name: str, value: Any
) -> None:
    document = RECIPE.model_dump() | {"params": RECIPE.params.model_dump() | {name: value}}
    recipe = Recipe.model_validate(document)
    with pytest.raises(InvalidRequest) as refused:
        params.check_recipe(recipe)
    assert refused.value.parameter == f"recipe.params.{name}"


@pytest.mark.parametrize(
    ("name", "value"), [("batch_index", 1), ("batch_index", -1), ("mitigations", ("magic",))]
)
def test_a_recipe_names_a_picture_of_its_batch_and_ways_that_there_are(
    name: str, value: Any
) -> None:
    params.check_recipe(RECIPE)
    with pytest.raises(InvalidRequest) as refused:
        params.check_recipe(RECIPE.model_copy(update={name: value}))
    assert refused.value.parameter == f"recipe.{name}"
