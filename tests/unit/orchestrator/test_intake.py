"""What a request becomes before it is queued."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from makers import Maker
from mysticanvas_echo import make_model

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.jobs import (
    GenerateRequest,
    HostRequest,
    JobRecord,
    JobStatus,
    ReproduceRequest,
)
from mysticanvas.contracts.mitigations import Allowed
from mysticanvas.contracts.params import parse
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.contracts.recipe import Environment, Recipe
from mysticanvas.errors import InvalidRequest, JobCancelled, PresetError, StoreFull
from mysticanvas.orchestrator.inspection import Inspector
from mysticanvas.orchestrator.presets import Presets
from mysticanvas.orchestrator.queue.intake import Accepted, Intake
from mysticanvas.orchestrator.queue.kinds import HostJob
from mysticanvas.orchestrator.queue.run import Run
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.plugins import loading
from mysticanvas.settings import HomePaths, Settings
from mysticanvas.store import Store
from mysticanvas.store.jobs import Jobs


class Where(Contract):
    path: Path


def check_free(where: Where) -> None:
    if where.path.exists():
        raise InvalidRequest("something is there", parameter="path")


TABLE = {"export": HostJob(lambda _: {}, Where, check_free)}


def an_intake(
    home: Path, store: Store, transitions: Transitions, device: Any = None, **given: Any
) -> Intake:
    settings = Settings(engine="echo", min_free_mib=0, **given)
    plugins = loading.load(settings.plugins)
    presets = Presets(store, Inspector(), plugins, settings.engine)
    return Intake(store, transitions, TABLE, home, settings, presets, lambda: device)


@pytest.fixture
def intake(tmp_path: Path, store: Store, transitions: Transitions) -> Intake:
    return an_intake(tmp_path, store, transitions)


@pytest.fixture
def limited(tmp_path: Path, store: Store, transitions: Transitions) -> Intake:
    """One with a quota of 1 MiB."""
    return an_intake(tmp_path, store, transitions, disk_quota_mib=1)


def test_what_waits_or_runs_counts_against_the_quota(
    tmp_path: Path, store: Store, transitions: Transitions, bus: Any, limited: Intake
) -> None:
    def ask() -> JobRecord:
        # 192 KiB of pixels.
        params = parse(prompt="a circle", preset=make_model(tmp_path / "m"), width=256, height=256)
        return limited.generate(GenerateRequest(params=params), key=new_id(), request_id="").job

    jobs = [ask() for _ in range(5)]
    with pytest.raises(StoreFull, match=r"may add 0.9 MiB"):
        ask()
    run = transitions.claim(["generate"], lambda job: Run(job, bus))
    assert run is not None
    with pytest.raises(StoreFull, match=r"may add 0.9 MiB"):
        ask()
    transitions.cancel(jobs[-1].id)
    ask()
    reopened = Jobs(store.database, store.images, store.measurements)
    assert reopened.pixels_waiting() == store.jobs.pixels_waiting() == 4 * 256 * 256


def test_a_repeated_request_is_its_job_although_that_has_used_up_the_quota(
    tmp_path: Path, store: Store, limited: Intake
) -> None:
    preset = make_model(tmp_path / "m")

    def ask(key: str, prompt: str = "a circle") -> Accepted:
        # 768 KiB of pixels.
        params = parse(prompt=prompt, preset=preset, width=512, height=512)
        return limited.generate(GenerateRequest(params=params), key, request_id="")

    first = ask("key")
    with pytest.raises(StoreFull):
        ask("another")
    again = ask("key")
    assert (first.created, again.created, again.job.id) == (True, False, first.job.id)
    assert again.job.position == first.job.position
    with pytest.raises(InvalidRequest) as refused:
        ask("key", "a square")
    assert (refused.value.parameter, refused.value.value) == ("Idempotency-Key", "'key'")
    assert len(store.jobs.page(10).items) == 1


def test_a_repeated_request_is_its_job_although_its_result_is_in_the_way(
    tmp_path: Path, intake: Intake
) -> None:
    request = HostRequest(kind="export", params={"path": str(tmp_path / "out")})
    first = intake.host(request, "key", request_id="")
    (tmp_path / "out").mkdir()
    with pytest.raises(InvalidRequest, match="something is there"):
        intake.host(request, "another", request_id="")
    assert intake.host(request, "key", request_id="").job.id == first.job.id


def test_a_key_stands_for_one_request(tmp_path: Path, store: Store, intake: Intake) -> None:
    params = parse(prompt="a circle", preset=make_model(tmp_path / "m"))
    generate = GenerateRequest(params=params)
    first = intake.generate(generate, "key", request_id="")
    assert intake.generate(generate, "key", request_id="").job.id == first.job.id
    export = HostRequest(kind="export", params={"path": str(tmp_path / "out")})
    for other in (
        lambda: intake.host(export, "key", request_id=""),
        lambda: intake.generate(generate.model_copy(update={"project": "x"}), "key", request_id=""),
    ):
        with pytest.raises(InvalidRequest, match="Idempotency-Key='key' is not allowed"):
            other()
    assert len(store.jobs.page(10).items) == 1


def test_a_key_stands_for_one_request_also_where_pictures_can_be_reused(
    tmp_path: Path, store: Store, intake: Intake
) -> None:
    """Its job has made them meanwhile; the answer was lost, so that it is asked for again."""
    params = parse(prompt="a circle", preset=make_model(tmp_path / "m"), seed=1, reuse=True)
    request = GenerateRequest(params=params)
    first = intake.generate(request, "key", request_id="")
    maker, claimed = Maker(), store.jobs.claim()
    assert claimed is not None
    assert claimed.task is not None
    made = maker.png(HomePaths.of(tmp_path), maker.image(first.job.id, claimed.task.recipe))
    assert store.jobs.succeed(first.job.id, claimed.record.attempts, [made]) is not None

    assert intake.generate(request, "another", request_id="").job.reused
    again = intake.generate(request, "key", request_id="")
    assert (again.created, again.job.id, again.job.reused) == (False, first.job.id, False)
    other = request.model_copy(update={"params": params.model_copy(update={"tags": ["new"]})})
    with pytest.raises(InvalidRequest, match="Idempotency-Key='key' is not allowed"):
        intake.generate(other, "key", request_id="")
    assert store.database.read("SELECT image_seq FROM image_tags") == []


def test_many_at_once_do_not_pass_the_quota_together(
    tmp_path: Path, store: Store, transitions: Transitions, limited: Intake
) -> None:
    params = parse(prompt="a circle", preset=make_model(tmp_path / "m"), width=256, height=256)
    request = GenerateRequest(params=params)
    limited.generate(request, key=new_id(), request_id="")
    together = threading.Barrier(8)

    def ask(_: int) -> bool:
        together.wait(60)
        try:
            limited.generate(request, key=new_id(), request_id="")
        except StoreFull:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(ask, range(8))) == 4


Generate = Callable[..., JobRecord]


@pytest.fixture
def generate(tmp_path: Path, intake: Intake) -> Generate:
    """Takes in a request for a picture by the model in `m`, or another; the job."""

    def generate(prompt: str = "a circle", **given: Any) -> JobRecord:
        params = parse(**{"prompt": prompt, "preset": str(tmp_path / "m"), **given})
        return intake.generate(GenerateRequest(params=params), key=new_id(), request_id="").job

    make_model(tmp_path / "m")
    return generate


@pytest.fixture
def recipe(store: Store, generate: Generate) -> Recipe:
    """That of a job."""
    task = store.jobs.get(generate().id).task
    assert task is not None
    return task.recipe


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


def test_a_request_that_was_withdrawn_on_its_way_leaves_no_job(
    tmp_path: Path, store: Store, intake: Intake
) -> None:
    request = GenerateRequest(params=parse(prompt="x", preset=make_model(tmp_path / "m")))
    assert intake.withdraw("key") is None
    with pytest.raises(JobCancelled):
        intake.generate(request, "key", request_id="")
    assert store.jobs.page().items == []
    assert intake.generate(request, "another", request_id="").created


def test_a_request_that_is_withdrawn_while_it_is_stored_is_cancelled(
    tmp_path: Path,
    store: Store,
    transitions: Transitions,
    intake: Intake,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add = transitions.add

    def overtaken(*arguments: Any) -> Any:
        assert intake.withdraw("key") is None
        return add(*arguments)

    monkeypatch.setattr(transitions, "add", overtaken)
    request = GenerateRequest(params=parse(prompt="x", preset=make_model(tmp_path / "m")))
    job = intake.generate(request, "key", request_id="").job
    assert store.jobs.get(job.id).record.status is JobStatus.CANCELLED


def test_a_job_is_withdrawn_by_the_key_of_its_request(
    tmp_path: Path, store: Store, intake: Intake
) -> None:
    request = GenerateRequest(params=parse(prompt="x", preset=make_model(tmp_path / "m")))
    job = intake.generate(request, "key", request_id="").job
    cancelled = intake.withdraw("key")
    assert cancelled is not None
    assert (cancelled.id, cancelled.status) == (job.id, JobStatus.CANCELLED)


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
