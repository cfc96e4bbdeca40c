import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mysticanvas.errors import ModelFileError, PresetError
from mysticanvas.orchestrator import models


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def folder(tmp_path: Path, tiny_sd: Path) -> Path:
    return Path(shutil.copytree(tiny_sd, tmp_path / "model"))


def edit(path: Path, change: Callable[[dict[str, object]], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_a_folder_tells_its_pipeline_scheduler_and_size(folder: Path) -> None:
    model = models.describe(folder, sha256)
    assert model.pipeline == "StableDiffusionPipeline"
    assert model.scheduler.endswith("Scheduler")
    assert model.side_px == (64, 64)
    assert model.world is None


def test_every_file_of_every_component_is_hashed(folder: Path) -> None:
    model = models.describe(folder, sha256)
    assert {path.split("/")[0] for path in model.files} == {
        "model_index.json",
        "unet",
        "vae",
        "text_encoder",
        "tokenizer",
        "scheduler",
    }
    assert model.files["model_index.json"] == sha256(folder / "model_index.json")


def test_the_digest_follows_the_files(folder: Path) -> None:
    before = models.describe(folder, sha256).digest
    (folder / "README.md").write_text("a card decides no pixel")
    assert models.describe(folder, sha256).digest == before
    edit(folder / "scheduler" / "scheduler_config.json", lambda c: c.update(beta_end=0.5))
    assert models.describe(folder, sha256).digest != before


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match=r"model_index\.json"):
        models.describe(tmp_path, sha256)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "\xff"])
def test_a_broken_index_is_refused(folder: Path, text: str) -> None:
    (folder / "model_index.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelFileError, match=r"model_index\.json"):
        models.describe(folder, sha256)


def test_code_that_a_model_brings_is_never_run(folder: Path) -> None:
    edit(folder / "model_index.json", lambda i: i.update(unet=["my_unet", "MyUNet"]))
    with pytest.raises(ModelFileError, match="never run"):
        models.describe(folder, sha256)


@pytest.mark.parametrize("library", ["audioldm2", "os", ["diffusers"], 3])
def test_components_come_from_the_libraries_that_are_run(folder: Path, library: object) -> None:
    edit(folder / "model_index.json", lambda i: i.update(unet=[library, "UNet2DConditionModel"]))
    with pytest.raises(ModelFileError, match="takes 'unet' from"):
        models.describe(folder, sha256)


def test_a_component_is_in_the_folder(folder: Path) -> None:
    edit(folder / "model_index.json", lambda i: i.update({"../unet": i.pop("unet")}))
    with pytest.raises(ModelFileError, match="not the name of a folder"):
        models.describe(folder, sha256)


@pytest.mark.parametrize("named", ["evil.bin", "../../outside.safetensors"])
def test_what_would_be_loaded_without_a_digest_is_refused(folder: Path, named: str) -> None:
    index = {"metadata": {}, "weight_map": {"w": named}}
    (folder / "unet" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelFileError, match="unet"):
        models.describe(folder, sha256)


@pytest.mark.parametrize("name", ["../x", "os.system", 3, None])
def test_a_pipeline_that_is_no_class_name_is_refused(folder: Path, name: object) -> None:
    edit(folder / "model_index.json", lambda i: i.update(_class_name=name))
    with pytest.raises(ModelFileError, match="class"):
        models.describe(folder, sha256)


def test_a_missing_component_is_named(folder: Path) -> None:
    shutil.rmtree(folder / "vae")
    with pytest.raises(ModelFileError, match="'vae'"):
        models.describe(folder, sha256)


def test_words_outside_a_small_models_world_are_found() -> None:
    world = models.World("It draws shapes.", frozenset({"a", "red", "circle"}))
    assert models.unknown_words("A red CIRCLE, a castle; a castle!", world) == ["castle"]


@pytest.mark.parametrize(
    ("sample_size", "side_px"),
    [(None, (512, 512)), (16, (64, 64)), ([16, 32], (128, 64)), (17, (64, 64)), (2, (8, 8))],
)
def test_the_default_size_is_one_that_a_picture_can_have(
    folder: Path, sample_size: object, side_px: tuple[int, int]
) -> None:
    edit(folder / "unet" / "config.json", lambda c: c.update(sample_size=sample_size))
    assert models.describe(folder, sha256).side_px == side_px


@pytest.mark.parametrize(
    "sample_size", [0, -4, 1, True, 1.5, "64", [], [64], [64, 0], {}, 4097, 10**400]
)
def test_a_size_that_no_picture_can_have_is_refused(folder: Path, sample_size: object) -> None:
    edit(folder / "unet" / "config.json", lambda c: c.update(sample_size=sample_size))
    with pytest.raises(ModelFileError, match=r"unet/config\.json: sample_size .* from 2 to 4096"):
        models.describe(folder, sha256)


@pytest.mark.parametrize("blocks", [0, [], [8] * 11, "four"])
def test_a_vae_of_no_such_depth_is_refused(folder: Path, blocks: object) -> None:
    edit(folder / "vae" / "config.json", lambda c: c.update(block_out_channels=blocks))
    with pytest.raises(ModelFileError, match=r"vae/config\.json: block_out_channels"):
        models.describe(folder, sha256)


@pytest.mark.parametrize(
    ("world", "words"),
    [
        ({}, "`draws`"),
        ({"draws": "Shapes.", "words": 3}, "`words`"),
        ({"draws": "Shapes.", "words": [], "default_params": []}, "`default_params`"),
        (
            {"draws": "Shapes.", "words": [], "default_params": {"num_inference_steps": 0}},
            "num_inference_steps=0",
        ),
        ({"draws": "Shapes.", "words": [], "default_params": {"steps": 1}}, "'steps'"),
    ],
)
def test_a_world_that_makes_no_sense_is_refused(
    folder: Path, world: dict[str, object], words: str
) -> None:
    (folder / "world.json").write_text(json.dumps(world))
    with pytest.raises(ModelFileError, match=words):
        models.describe(folder, sha256)
