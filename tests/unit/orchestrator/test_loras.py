"""Which LoRAs a request means, and what becomes of them in its recipe."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mysticanvas.contracts.base import canonical_json
from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.jobs import GenerateRequest, ReproduceRequest
from mysticanvas.contracts.loras import SUFFIX, digests
from mysticanvas.contracts.model_files import HashedFile
from mysticanvas.contracts.params import parse
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.contracts.recipe import Recipe
from mysticanvas.contracts.worker import GenerateTask
from mysticanvas.errors import InvalidRequest, ModelFileError, PresetError
from mysticanvas.orchestrator import library
from mysticanvas.orchestrator.inspection import Inspector
from mysticanvas.orchestrator.presets import Presets
from mysticanvas.orchestrator.queue.intake import Intake
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.plugins import loading
from mysticanvas.settings import Settings
from mysticanvas.store import Store


def make(path: Path, number: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    name = "unet.conv_in.lora"
    save_file({f"{name}_A.weight": torch.full((1, 4), number),
               f"{name}_B.weight": torch.ones(8, 1)}, path)  # fmt: skip
    return path


@pytest.fixture
def folder(tmp_path: Path, store: Store) -> Path:
    """An added folder with two LoRAs."""
    base = tmp_path / "models"
    make(base / "loras" / "ink.safetensors", 1)
    make(base / "loras" / "chalk.safetensors", 2)
    store.facts.set(library.FOLDERS, [str(base)])
    return base / "loras"


@pytest.fixture
def presets(store: Store) -> Presets:
    return Presets(store, Inspector(), loading.load(Settings().plugins), "image")


@pytest.fixture
def intake(tmp_path: Path, store: Store, transitions: Transitions, presets: Presets) -> Intake:
    return Intake(store, transitions, {}, tmp_path, Settings(min_free_mib=0), presets)


@pytest.fixture
def preset(presets: Presets, tiny_sd: Path, folder: Path) -> ImagePreset:
    return presets.save(ImagePreset(name="drawn", model=str(tiny_sd), loras={"ink": 0.5}))


def task_of(intake: Intake, store: Store, **given: object) -> GenerateTask:
    request = GenerateRequest(params=parse(prompt="a circle", preset="drawn", seed=1, **given))
    task = store.jobs.get(intake.generate(request, new_id(), "").job.id).task
    assert task is not None
    return task


def strange_digests(recipe: Recipe) -> dict[str, str]:
    """The LoRAs of a recipe among its files, with a digest that no file has."""
    return {f"{role}{SUFFIX}": "0" * 64 for role in digests(recipe.model_files)}


def recipe_of(intake: Intake, store: Store, **given: object) -> Recipe:
    return task_of(intake, store, **given).recipe


def test_those_of_a_call_are_added_to_those_of_the_preset(
    intake: Intake, store: Store, preset: ImagePreset, folder: Path
) -> None:
    chalk = str(folder / "chalk.safetensors")
    task = task_of(intake, store, loras={chalk: -1})
    weights = {
        Path(path).stem: weight
        for path, weight in zip(task.model.loras, task.recipe.params.loras.values(), strict=True)
    }
    assert weights == {"ink": 0.5, "chalk": -1.0}
    assert set(task.recipe.loras) == {"ink", chalk}
    names = ["lora_1.safetensors", "lora_2.safetensors"]
    digests = [task.recipe.model_files[name] for name in names]
    assert digests == sorted(store.model_files.sha256(Path(path)) for path in task.model.loras)
    assert task.model.digest == task_of(intake, store, loras={"ink": 0}).model.digest


def test_the_same_one_gets_the_weight_of_the_call_and_zero_leaves_it_out(
    intake: Intake, store: Store, preset: ImagePreset, folder: Path
) -> None:
    own = recipe_of(intake, store)
    louder = recipe_of(intake, store, loras={str(folder / "ink.safetensors"): 0.9})
    assert list(own.params.loras.values()) == [0.5]
    assert list(louder.params.loras.values()) == [0.9]
    without = recipe_of(intake, store, loras={"ink": 0})
    assert without.params.loras == {}
    assert not any(name.startswith("lora_") for name in without.model_files)
    code = without.to_code()
    assert "'ink': 0.0" in code
    assert "'ink': 0.5" in own.to_code()
    assert "load_lora_weights" not in without.to_code("diffusers")
    assert "load_lora_weights('path/to/ink.safetensors'" in own.to_code("diffusers")


def test_files_and_weights_change_the_request_and_names_and_order_do_not(
    intake: Intake, store: Store, preset: ImagePreset, folder: Path
) -> None:
    ink, chalk = folder / "ink.safetensors", folder / "chalk.safetensors"
    other_name = Path(shutil.copy(chalk, folder / "other.safetensors"))
    first = recipe_of(intake, store, loras={"ink": 1, "chalk": 2}).request_hash
    assert recipe_of(intake, store, loras={str(chalk): 2, str(ink): 1}).request_hash == first
    assert recipe_of(intake, store, loras={str(other_name): 2, "ink": 1}).request_hash == first
    make(other_name, 7)
    others = [{"ink": 2, "chalk": 1}, {"ink": 1}, {"ink": 1, "chalk": 2.5},
              {"ink": 1, "other": 2}, {"ink": 0}]  # fmt: skip
    hashes = {recipe_of(intake, store, loras=each).request_hash for each in others}
    assert len(hashes | {first}) == len(others) + 1


def test_without_any_a_request_has_the_hash_that_it_always_had(
    presets: Presets, intake: Intake, store: Store, tiny_sd: Path
) -> None:
    presets.save(ImagePreset(name="drawn", model=str(tiny_sd)))
    recipe = recipe_of(intake, store)
    assert "loras" not in recipe.params.model_dump(exclude_defaults=True)
    assert recipe.loras == {}


def test_a_name_that_is_missing_or_means_several_is_refused(
    presets: Presets, intake: Intake, store: Store, preset: ImagePreset, folder: Path, tiny_sd: Path
) -> None:
    with pytest.raises(InvalidRequest, match="no LoRA 'chlak'") as caught:
        task_of(intake, store, loras={"chlak": 1})
    assert caught.value.parameter == "loras"
    assert "'chalk'" in caught.value.hint
    make(folder / "more" / "chalk.safetensors", 3)
    with pytest.raises(InvalidRequest, match="2 files are named 'chalk'"):
        task_of(intake, store, loras={"chalk": 1})
    both = {"ink": 1, str(folder / "ink.safetensors"): 2}
    with pytest.raises(InvalidRequest, match="are the same file"):
        task_of(intake, store, loras=both)
    with pytest.raises(InvalidRequest, match="loras of the preset 'other'"):
        presets.save(ImagePreset(name="other", model=str(tiny_sd), loras={"nowhere": 1.0}))


def test_files_that_are_no_sound_loras_are_refused_before_a_job_is_made(
    intake: Intake, store: Store, preset: ImagePreset, tmp_path: Path, tiny_sd: Path, folder: Path
) -> None:
    cut, pickled, whole = (
        tmp_path / name for name in ("cut.safetensors", "x.pt", "whole.safetensors")
    )
    cut.write_bytes((folder / "ink.safetensors").read_bytes()[:-3])
    pickled.write_bytes(b"\x80\x04.")
    shutil.copy(tiny_sd / "unet" / "diffusion_pytorch_model.safetensors", whole)
    for path, what in (
        (cut, "damaged or cut off"), (pickled, "is a pickle"), (whole, "holds no LoRA"),
        (tmp_path, "is a folder"),
    ):  # fmt: skip
        with pytest.raises(ModelFileError, match=what):
            task_of(intake, store, loras={str(path): 1})
    gone = tmp_path / "gone.safetensors"
    with pytest.raises(PresetError, match=f"^loras: there is nothing at {gone}") as refused:
        task_of(intake, store, loras={str(gone): 1})
    # No folder: what is said is what may be given here.
    assert refused.value.hint == "Give the path of a .safetensors file."


def test_an_engine_of_another_kind_applies_none(store: Store, folder: Path) -> None:
    presets = Presets(store, Inspector(), loading.load(Settings().plugins), "echo")
    with pytest.raises(PresetError, match="'echo' does not apply LoRAs"):
        presets.loras.of(ImagePreset(name="x", model="/x"), {"ink": 1.0})


def test_a_recipe_finds_its_files_by_their_content(
    intake: Intake, store: Store, preset: ImagePreset, folder: Path
) -> None:
    recipe = recipe_of(intake, store, loras={"chalk": 1})

    def again() -> GenerateTask:
        request = ReproduceRequest(recipe=recipe)
        task = store.jobs.get(intake.reproduce(request, new_id(), "").job.id).task
        assert task is not None
        return task

    moved = (folder / "chalk.safetensors").rename(folder / "moved.safetensors")
    store.model_files.sha256(moved)  # seen since, as any use of it would
    make(folder / "chalk.safetensors", 9)
    task = again()
    assert str(moved) in task.model.loras
    assert task.recipe.model_files == recipe.model_files
    assert task.recipe.params == recipe.params

    moved.unlink()
    # What has the name today; what differs is told with the picture.
    task = again()
    assert str(folder / "chalk.safetensors") in task.model.loras
    assert task.recipe.model_files != recipe.model_files

    (folder / "chalk.safetensors").unlink()
    with pytest.raises(PresetError, match="LoRA 'chalk' of this recipe is not on this machine"):
        again()


def test_of_a_recipe_nothing_is_loaded_from_where_it_says(
    intake: Intake, store: Store, preset: ImagePreset, folder: Path, tmp_path: Path
) -> None:
    elsewhere = make(tmp_path / "elsewhere" / "wash.safetensors", 5)
    recipe = recipe_of(intake, store, loras={str(elsewhere): 1})
    strange = recipe.model_copy(
        update={"model_files": recipe.model_files | strange_digests(recipe)}
    )
    request = ReproduceRequest(recipe=strange)
    with pytest.raises(PresetError, match="none is named 'wash'"):
        intake.reproduce(request, new_id(), "")
    listed = make(folder / "wash.safetensors", 6)
    task = store.jobs.get(intake.reproduce(request, new_id(), "").job.id).task
    assert task is not None
    assert str(listed) in task.model.loras
    assert str(elsewhere) not in task.model.loras


def test_the_order_of_many_outlasts_a_file_whose_names_are_sorted(
    intake: Intake, store: Store, preset: ImagePreset, tmp_path: Path
) -> None:
    many = {str(make(tmp_path / f"{n}.safetensors", n)): n / 10 for n in range(3, 15)}
    recipe = recipe_of(intake, store, loras=many)
    sorted_by_name = Recipe.model_validate_json(canonical_json(recipe.model_dump(mode="json")))
    assert list(sorted_by_name.params.loras) != list(recipe.params.loras)
    request = ReproduceRequest(recipe=sorted_by_name)
    task = store.jobs.get(intake.reproduce(request, new_id(), "").job.id).task
    assert task is not None
    assert task.recipe.request_hash == recipe.request_hash
    for lora, (role, sha256) in zip(
        task.model.loras, digests(task.recipe.model_files).items(), strict=True
    ):
        assert store.model_files.sha256(Path(lora)) == sha256
        name = "ink" if lora not in many else lora
        assert task.recipe.params.loras[role] == {**many, "ink": 0.5}[name]


def test_of_a_label_the_home_is_nobodys_business(monkeypatch: pytest.MonkeyPatch) -> None:
    from mysticanvas.orchestrator.loras import Lora, Loras

    monkeypatch.setenv("HOME", "/home/me")
    file = HashedFile(path="/x", sha256="0" * 64, size=1, mtime_ns=1, inode=1)
    lora = Lora("/home/me/loras/a.safetensors", file, 1.0)
    assert Loras((lora,)).labels == {"~/loras/a.safetensors": "lora_1"}
