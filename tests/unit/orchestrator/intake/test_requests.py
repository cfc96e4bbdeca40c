"""A request has all that a worker needs by the time it is queued, or makes no job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from intakes import Generate, an_intake
from mysticanvas_echo import make_model

from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.jobs import GenerateRequest
from mysticanvas.contracts.mitigations import Allowed
from mysticanvas.contracts.params import parse
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.errors import InvalidRequest
from mysticanvas.orchestrator.queue.intake import Intake
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.store import Store


@pytest.mark.parametrize("allowed", ["auto", "exact", "none"])
def test_the_worker_hears_which_mitigations_are_allowed(
    tmp_path: Path, store: Store, intake: Intake, allowed: Allowed
) -> None:
    params = parse(prompt="a circle", preset=make_model(tmp_path / "m"), mitigations=allowed)
    job = intake.generate(GenerateRequest(params=params), key=new_id(), request_id="").job
    task = store.jobs.get(job.id).task
    assert task is not None
    assert task.allowed == allowed


def test_the_worker_hears_how_each_file_looked_whose_digest_the_recipe_has(
    tmp_path: Path, store: Store, generate: Generate
) -> None:
    task = store.jobs.get(generate().id).task
    assert task is not None
    told = {str(Path(each.path).relative_to(tmp_path / "m")): each for each in task.model.hashed}
    assert {name: each.sha256 for name, each in told.items()} == task.recipe.model_files
    assert all(each.size == Path(each.path).stat().st_size for each in told.values())


def test_a_path_that_is_a_preset_already_costs_no_write(
    tmp_path: Path, store: Store, intake: Intake
) -> None:
    params = parse(prompt="a circle", preset=make_model(tmp_path / "m"), seed=7)
    request = GenerateRequest(params=params)
    first = intake.generate(request, key=new_id(), request_id="").job
    presets, commits = store.presets.list(), store.database.commits
    second = intake.generate(request, key=new_id(), request_id="").job
    assert second.request_hash == first.request_hash
    # That of the job itself.
    assert store.database.commits == commits + 1
    assert store.presets.list() == presets


def test_who_asks_a_small_model_for_what_it_does_not_know_is_told_what_it_draws(
    tmp_path: Path, generate: Generate
) -> None:
    world = {"draws": "Circles.", "words": ["a", "circle"]}
    (tmp_path / "m" / "world.json").write_text(json.dumps(world))
    assert generate("a CIRCLE").notices == []
    assert generate("a castle on a hill by a lake").notices == [
        "The 'm' model does not know 'castle', 'on', 'hill'. It draws: Circles. "
        'For anything else, give a real model: preset="/path/to/a/diffusers/folder".'
    ]


@pytest.mark.parametrize("wanted", ["strater", "/no/such/folder"])
def test_an_unknown_preset_is_a_parameter_that_is_not_allowed(
    store: Store, generate: Generate, wanted: str
) -> None:
    store.presets.save(ImagePreset(name="Starter", model="/m"), "StableDiffusionPipeline")
    with pytest.raises(InvalidRequest) as refused:
        generate(preset=wanted)
    assert (refused.value.parameter, refused.value.value) == ("preset", wanted)
    assert "diffusers folder" in refused.value.allowed
    assert ("Did you mean 'Starter'?" in str(refused.value)) == (wanted == "strater")
    assert store.jobs.page(10).items == []


@pytest.mark.parametrize(
    ("given", "parameter"),
    [
        ({"scheduler_config": {"clip_smaple": True}}, "scheduler_config"),
        ({"scheduler_config": {"num_train_timesteps": -5}}, "scheduler_config"),
        ({"scheduler": "FlowMatchEulerDiscreteScheduler"}, "scheduler"),
    ],
)
def test_a_scheduler_that_cannot_be_makes_no_job(
    store: Store, generate: Generate, given: dict[str, Any], parameter: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        generate(**given)
    assert refused.value.parameter == parameter
    assert store.jobs.page(10).items == []


@pytest.mark.parametrize(
    ("device", "dtype", "expected"),
    [
        ("cpu", "auto", "float32"),
        ("cuda", "auto", "float16"),
        ("cpu", "bfloat16", "bfloat16"),
        (None, "bfloat16", "bfloat16"),
        # Nobody knows yet what would be chosen.
        (None, "auto", None),
    ],
)
def test_a_picture_is_used_again_if_it_is_of_the_number_format_that_a_new_one_would_have(
    tmp_path: Path,
    store: Store,
    transitions: Transitions,
    monkeypatch: pytest.MonkeyPatch,
    device: Any,
    dtype: Any,
    expected: str | None,
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(store.images, "by_request", lambda *given: asked.append(given[2]) or [])
    intake = an_intake(tmp_path, store, transitions, device)
    model = make_model(tmp_path / "m")
    store.presets.save(ImagePreset(name="plain", model=str(model), dtype=dtype))
    params = parse(prompt="a circle", preset="plain", width=64, height=64, reuse=True)
    intake.generate(GenerateRequest(params=params), key=new_id(), request_id="")
    assert asked == [expected]
