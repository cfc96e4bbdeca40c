import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mysticanvas import model_folders as folders
from mysticanvas.errors import ModelFileError
from mysticanvas.orchestrator import models
from mysticanvas.workers.image import folder as folder_of_model, loading, weights
from mysticanvas.workers.image.parts import Replaced

CPU = torch.device("cpu")
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(tiny_sd: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may damage."""
    return Path(shutil.copytree(tiny_sd, tmp_path / "sd"))


def edit_index(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / folder_of_model.INDEX
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))


def test_a_folder_becomes_a_pipeline_of_its_class(tiny_sd: Path, tiny_sdxl: Path) -> None:
    for folder, name in (
        (tiny_sd, "StableDiffusionPipeline"),
        (tiny_sdxl, "StableDiffusionXLPipeline"),
    ):
        pipeline = loading.load(folder, CPU, torch.float32)
        assert type(pipeline).__name__ == name
        assert pipeline.unet.dtype is torch.float32


def test_the_number_format_reaches_every_part(tiny_sd: Path) -> None:
    pipeline = loading.load(tiny_sd, CPU, torch.bfloat16)
    parts = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    assert {part.dtype for part in parts} == {torch.bfloat16}


def test_a_folder_without_an_index_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"no model_index\.json"):
        loading.load(tmp_path, CPU, torch.float32)


def test_a_folder_that_sends_for_another_model_is_refused(folder: Path) -> None:
    adapter = {"base_model_name_or_path": "/somewhere/else", "peft_type": "LORA"}
    (folder / "text_encoder" / "adapter_config.json").write_text(json.dumps(adapter))
    with pytest.raises(ModelFileError, match="holds an adapter"):
        loading.load(folder, CPU, torch.float32)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00\x01", '{"_class_name": "NoSuchPipeline"}'])
def test_a_damaged_index_is_refused(folder: Path, text: str) -> None:
    (folder / folder_of_model.INDEX).write_text(text)
    with pytest.raises(ModelFileError, match=r"model_index\.json"):
        loading.load(folder, CPU, torch.float32)


def test_code_that_comes_with_a_model_is_not_run(folder: Path) -> None:
    ran = folder / "ran"
    code = f"open({str(ran)!r}, 'w')\nclass Evil: pass\n"
    for place in (folder / "evil.py", folder / "unet" / "evil.py", folder / "pipeline.py"):
        place.write_text(code)
    edit_index(folder, lambda index: index.update(unet=["evil", "Evil"]))
    with pytest.raises(ModelFileError, match="takes 'unet' from 'evil'") as caught:
        loading.load(folder, CPU, torch.float32)
    assert "classes of diffusers" in caught.value.hint
    edit_index(folder, lambda index: index.update(_class_name=["pipeline", "Evil"]))
    with pytest.raises(ModelFileError, match="which diffusers"):
        loading.load(folder, CPU, torch.float32)
    assert not ran.exists()


def test_code_under_the_name_of_a_pipeline_module_is_not_run(folder: Path) -> None:
    ran = folder / "ran"
    (folder / "unet" / "stable_diffusion.py").write_text(f"open({str(ran)!r}, 'w')\n")
    edit_index(
        folder, lambda index: index.update(unet=["stable_diffusion", "UNet2DConditionModel"])
    )
    with pytest.raises(ModelFileError):
        loading.load(folder, CPU, torch.float32)
    assert not ran.exists()


def test_a_component_name_does_not_leave_the_folder(folder: Path) -> None:
    shutil.move(folder / "unet", folder.parent / "unet")

    def outside(index: dict[str, Any]) -> None:
        index["../unet"] = index.pop("unet")

    edit_index(folder, outside)
    with pytest.raises(ModelFileError, match="not the name of a folder"):
        loading.load(folder, CPU, torch.float32)


def test_pickled_weights_are_refused_with_the_way_out(folder: Path) -> None:
    weights = load_file(folder / UNET)
    torch.save(weights, folder / "unet" / "diffusion_pytorch_model.bin")
    (folder / UNET).unlink()
    with pytest.raises(ModelFileError, match=r"diffusion_pytorch_model\.bin, a pickle") as caught:
        loading.load(folder, CPU, torch.float32)
    assert "safe_serialization=True" in caught.value.hint


def test_pickles_beside_safetensors_are_left_alone(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"not even a pickle")
    loading.load(folder, CPU, torch.float32)


@pytest.mark.parametrize(
    ("part", "stem"), [("unet", "diffusion_pytorch_model"), ("text_encoder", "model")]
)
@pytest.mark.parametrize("named", ["evil.bin", "../../outside.safetensors"])
def test_an_index_has_nothing_else_loaded(folder: Path, part: str, stem: str, named: str) -> None:
    weights = load_file(folder / part / f"{stem}.safetensors")
    (folder / part / f"{stem}.safetensors").rename(folder / part / "other.safetensors")
    torch.save(weights, folder / part / "evil.bin")
    save_file(weights, folder.parent / "outside.safetensors", {"format": "pt"})
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, named)}
    (folder / part / f"{stem}.safetensors.index.json").write_text(json.dumps(index))
    for replaced in (None, Replaced(unet=folder, clip=(folder / "text_encoder",))):
        with pytest.raises(ModelFileError, match="a pickle|no .safetensors file beside it"):
            loading.load(folder, CPU, torch.float32, replaced)


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_weights_in_parts_are_hashed_weighed_and_loaded(
    tiny_sd: Path, tmp_path: Path, variant: str | None
) -> None:
    whole = loading.load(tiny_sd, CPU, torch.float32)
    whole.save_pretrained(tmp_path, max_shard_size="20KB", variant=variant)
    parts = {"unet": "diffusers", "text_encoder": "transformers"}
    loaded = {
        file
        for name, lib in parts.items()
        for file in folders.weights(tmp_path / name, lib, variant)
    }
    assert len(loaded) > 4
    described = models.describe(tmp_path, lambda path: path.name).files
    assert {file.relative_to(tmp_path).as_posix() for file in loaded} <= described.keys()
    again = loading.load(tmp_path, CPU, torch.float32)
    for name, size in weights.of_folder(tmp_path, parts, "float32").items():
        ours, theirs = (getattr(each, name).state_dict() for each in (again, whole))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
        assert size == sum(each.numel() * 4 for each in getattr(again, name).parameters())
    next(iter(loaded)).unlink()
    with pytest.raises(ModelFileError, match="which is not there"):
        loading.load(tmp_path, CPU, torch.float32)


def test_numbers_in_files_that_are_not_loaded_make_no_model_complete(folder: Path) -> None:
    file = folder / "text_encoder" / "model.safetensors"
    weights = load_file(file)
    save_file(weights, file.with_name("other.safetensors"), {"format": "pt"})
    weights.pop(sorted(weights)[0])
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(ModelFileError, match="holds .* numbers, but CLIPTextModel has"):
        loading.load(folder, CPU, torch.float32)


@pytest.mark.parametrize(
    ("name", "library", "kind"),
    [
        ("text_encoder", "transformers", "AutoModel"),
        ("text_encoder", "transformers", "pipeline"),
        ("tokenizer", "transformers", "AutoTokenizer"),
        ("unet", "diffusers", "AutoModel"),
        ("unet", "diffusers", "StableDiffusionPipeline"),
        ("unet", "stable_diffusion", "StableDiffusionPipeline"),
        ("unet", "diffusers", "NoSuchModel"),
    ],
)
def test_what_is_no_class_of_a_component_is_refused(
    folder: Path, name: str, library: str, kind: str
) -> None:
    edit_index(folder, lambda index: index.update({name: [library, kind]}))
    replaced = Replaced(clip=(folder,)) if name != "unet" else None
    for each in (None, replaced):
        with pytest.raises(ModelFileError, match=f"no component '{kind}'"):
            loading.load(folder, CPU, torch.float32, each)


def test_a_pipeline_is_a_class_of_pipelines(folder: Path) -> None:
    edit_index(folder, lambda index: index.update(_class_name="AutoencoderKL"))
    with pytest.raises(ModelFileError, match="names the pipeline 'AutoencoderKL'"):
        loading.load(folder, CPU, torch.float32)


@pytest.mark.parametrize("kept", [0, 4, 100, -100])
def test_a_file_that_was_cut_off_is_named(folder: Path, kept: int) -> None:
    data = (folder / UNET).read_bytes()
    (folder / UNET).write_bytes(data[:kept])
    with pytest.raises(ModelFileError, match=r"unet.*safetensors is damaged or cut off"):
        loading.load(folder, CPU, torch.float32)


@pytest.mark.parametrize("name", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_folder_is_named(folder: Path, name: str) -> None:
    shutil.rmtree(folder / name)
    with pytest.raises(ModelFileError, match=f"no folder '{name}'"):
        loading.load(folder, CPU, torch.float32)


@pytest.mark.parametrize(
    "name",
    [
        UNET,
        "unet/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "text_encoder/config.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelFileError):
        loading.load(folder, CPU, torch.float32)


@pytest.mark.parametrize(
    ("part", "file"),
    [
        ("unet", "diffusion_pytorch_model.safetensors"),
        ("vae", "diffusion_pytorch_model.safetensors"),
        ("text_encoder", "model.safetensors"),
    ],
)
def test_a_missing_tensor_is_not_made_up(folder: Path, part: str, file: str) -> None:
    weights = load_file(folder / part / file)
    weights.pop(sorted(weights)[len(weights) // 2])
    save_file(weights, folder / part / file, {"format": "pt"})
    with pytest.raises(ModelFileError):
        loading.load(folder, CPU, torch.float32)


def test_tensors_of_another_size_are_refused(folder: Path) -> None:
    config = json.loads((folder / "unet/config.json").read_text())
    (folder / "unet/config.json").write_text(json.dumps({**config, "cross_attention_dim": 32}))
    with pytest.raises(ModelFileError, match="cannot be loaded"):
        loading.load(folder, CPU, torch.float32)


def test_a_folder_with_half_precision_files_only_is_loaded(folder: Path) -> None:
    for path in folder.rglob("*.safetensors"):
        path.rename(path.with_suffix(".fp16.safetensors"))
    assert loading.load(folder, CPU, torch.float32).unet.dtype is torch.float32
