"""A recipe is run as it says, by what is here, or refused before a job is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from intakes import Generate
from mysticanvas_echo import make_model

from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.jobs import ReproduceRequest
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.contracts.recipe import Environment, Recipe
from mysticanvas.errors import InvalidRequest, PresetError
from mysticanvas.orchestrator.queue.intake import Intake
from mysticanvas.store import Store


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", -8),
        ("num_inference_steps", 0),
        ("seed", -5),
        ("num_images", 0),
        ("scheduler", "warp"),
        ("scheduler", "FlowMatchEulerDiscreteScheduler"),
        ("scheduler_config", {"zz": 1}),
    ],
)
def test_a_recipe_that_generate_would_not_allow_makes_no_job(
    store: Store, intake: Intake, recipe: Recipe, name: str, value: Any
) -> None:
    params = recipe.params.model_copy(update={name: value})
    request = ReproduceRequest(recipe=recipe.model_copy(update={"params": params}))
    with pytest.raises(InvalidRequest) as refused:
        intake.reproduce(request, key=new_id(), request_id="")
    assert refused.value.parameter == f"recipe.params.{name}"
    assert len(store.jobs.page(10).items) == 1


def test_a_recipe_whose_preset_is_not_here_is_refused(intake: Intake, recipe: Recipe) -> None:
    request = ReproduceRequest(recipe=recipe.model_copy(update={"preset": "n"}))
    with pytest.raises(PresetError, match="preset 'n' of this recipe is not here"):
        intake.reproduce(request, key=new_id(), request_id="")


@pytest.mark.parametrize("hub_id", [False, True])
def test_a_recipe_has_nothing_loaded_from_where_it_says(
    tmp_path: Path, store: Store, intake: Intake, recipe: Recipe, hub_id: bool
) -> None:
    before = store.presets.list()
    named = "owner/name" if hub_id else str(make_model(tmp_path / "stranger"))
    request = ReproduceRequest(recipe=recipe.model_copy(update={"preset": named}))
    with pytest.raises(PresetError, match="of this recipe is not here") as caught:
        intake.reproduce(request, key=new_id(), request_id="")
    assert 'recipe.model_copy(update={"preset": "a"})' in caught.value.hint
    assert store.presets.list() == before


def test_a_recipe_runs_with_the_revision_that_computed_as_it_says(
    tmp_path: Path, store: Store, intake: Intake, generate: Generate
) -> None:
    preset = ImagePreset(name="two", model=str(tmp_path / "m"))
    recipes = []
    for dtype in ("float32", "bfloat16"):
        store.presets.save(preset.replace(dtype=dtype), "EchoPipeline")
        task = store.jobs.get(generate(preset="two").id).task
        assert task is not None
        ran = Environment(device="cpu", dtype=dtype, threads=1, versions={})
        recipes.append(task.recipe.model_copy(update={"environment": ran}))
    for recipe in recipes:
        for named in (recipe, recipe.model_copy(update={"preset_revision": None})):
            request = ReproduceRequest(recipe=named)
            job = intake.reproduce(request, key=new_id(), request_id="").job
            again = store.jobs.get(job.id).task
            assert again is not None
            assert again.recipe.preset_revision == recipe.preset_revision


def test_a_recipe_runs_in_the_pipeline_of_todays_model(
    store: Store, intake: Intake, recipe: Recipe
) -> None:
    request = ReproduceRequest(recipe=recipe.model_copy(update={"pipeline": "Another"}))
    job = intake.reproduce(request, key=new_id(), request_id="").job
    task = store.jobs.get(job.id).task
    assert task is not None
    assert task.recipe.pipeline == recipe.pipeline
