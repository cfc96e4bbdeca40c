"""Which files count for a preset with parts."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from mysticanvas import ImagePreset
from mysticanvas.errors import ModelFileError, PresetError
from mysticanvas.orchestrator import models, parts


def named(path: Path) -> str:
    """Stands for a digest."""
    return path.name


def preset(folder: Path, **given: object) -> ImagePreset:
    return ImagePreset(name="a", model=str(folder), **given)


def test_a_file_counts_by_its_role_and_not_its_name(tmp_path: Path, tiny_sd: Path) -> None:
    vae = tmp_path / "some-vae.safetensors"
    vae.write_bytes(b"")
    files = parts.files(preset(tiny_sd, vae=str(vae)), named)
    assert files == {"vae.safetensors": "some-vae.safetensors"}


def test_a_folder_counts_by_what_it_holds_of_the_part(tiny_sd: Path, tiny_sdxl: Path) -> None:
    files = parts.files(preset(tiny_sd, unet=str(tiny_sdxl), clip=str(tiny_sdxl)), named)
    assert {name.rpartition("/")[0] for name in files} == {
        "unet/unet",
        "clip_1/text_encoder",
        "clip_1/text_encoder_2",
        "clip_1/tokenizer",
        "clip_1/tokenizer_2",
    }
    files = parts.files(preset(tiny_sd, vae=str(tiny_sdxl / "vae")), named)
    assert set(files) == {"vae/config.json", "vae/diffusion_pytorch_model.safetensors"}


def test_what_is_replaced_does_not_count(tiny_sd: Path, tiny_sdxl: Path) -> None:
    def components(**given: object) -> set[str]:
        replaced = parts.replaces(preset(tiny_sdxl, **given))
        files = models.describe(tiny_sdxl, named, replaced).files
        return {name.partition("/")[0] for name in files} - {"model_index.json", "scheduler"}

    every = {"unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"}
    assert components() == every
    assert components(unet="/x", vae="/y") == every - {"unet", "vae"}
    assert components(clip="/x") == every - {"text_encoder"}
    assert components(clip=("/x", "/y")) == every - {"text_encoder", "text_encoder_2"}
    assert components(clip=str(tiny_sd)) == {"unet", "vae"}


def test_what_is_not_there_or_unsafe_is_refused(tmp_path: Path, tiny_sd: Path) -> None:
    with pytest.raises(PresetError, match="vae: there is nothing at /no/such"):
        parts.files(preset(tiny_sd, vae="/no/such"), named)
    with pytest.raises(PresetError, match="there is nothing"):
        parts.files(preset(tiny_sd, vae="/" + "x" * 300), named)
    for name, error in (("a.pt", "is a pickle"), ("a.txt", r"no \.safetensors file")):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(ModelFileError, match=error):
            parts.files(preset(tiny_sd, clip=str(tmp_path / name)), named)


@pytest.mark.parametrize("name", ["model", "vae", "clip_1", "loras: a"])
@pytest.mark.parametrize("file", ["pipe.safetensors", "pipe.gguf", "pipe"])
def test_what_would_make_a_reader_wait_is_refused(tmp_path: Path, name: str, file: str) -> None:
    os.mkfifo(tmp_path / file)
    (tmp_path / "link.safetensors").symlink_to(tmp_path / file)
    for path in (tmp_path / file, tmp_path / "link.safetensors"):
        with pytest.raises(PresetError, match="neither a folder nor a regular file"):
            parts.check(name, path)


def test_a_part_that_would_be_loaded_from_elsewhere_is_refused(
    tmp_path: Path, tiny_sd: Path
) -> None:
    vae = Path(shutil.copytree(tiny_sd / "vae", tmp_path / "vae"))
    index = {"metadata": {}, "weight_map": {"w": "../outside.safetensors"}}
    (vae / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelFileError, match="no .safetensors file beside it"):
        parts.files(preset(tiny_sd, vae=str(vae)), named)


def test_a_single_file_has_what_ships_for_its_architecture(tmp_path: Path) -> None:
    from mysticanvas.settings import data_folder

    shipped = data_folder() / "architectures"
    for architecture, pipeline, side in (
        ("stable-diffusion-1", "StableDiffusionPipeline", 512),
        ("stable-diffusion-xl", "StableDiffusionXLPipeline", 1024),
        ("stable-diffusion-3", "StableDiffusion3Pipeline", 1024),
        ("flux-1-dev", "FluxPipeline", 1024),
        ("qwen-image", "QwenImagePipeline", 1328),
    ):
        model = models.describe_file(tmp_path / "m.safetensors", architecture, named, shipped)
        assert (model.pipeline, model.side_px) == (pipeline, (side, side))
        assert model.files == {"model.safetensors": "m.safetensors"}
        assert model.default_params["num_inference_steps"] > 0
