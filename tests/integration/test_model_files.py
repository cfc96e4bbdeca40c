"""The files of a model decide its pictures; a change of them is noticed, and damage is an error."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import checkpoints
import numpy as np
import pytest
import transformer_models
from ggufs import write_tensors
from loras import make_lora
from safetensors.torch import load_file, save_file

from mysticanvas import Canvas, ImagePreset, errors

SMALL = {"num_inference_steps": 2, "seed": 7}


def test_a_denoiser_out_of_a_gguf_file_and_a_lora_of_another_model(
    canvas: Canvas, folder: Path, tmp_path: Path
) -> None:
    flux = transformer_models.make_flux(tmp_path / f"flux-{folder.name}")
    file = tmp_path / "flux-q8.gguf"
    write_tensors(file, transformer_models.flux_transformer().state_dict(), "Q8_0")
    preset = ImagePreset(name=flux.name, model=str(flux), unet=str(file))
    image = canvas.generate("a", preset=preset, width=64, height=64, **SMALL)
    assert "unet.gguf" in image.recipe.model_files
    [term] = [
        each
        for each in canvas.plan("a", preset=flux.name, width=64, height=64).terms
        if each.name == "weights.transformer"
    ]
    held = {part.name: part.mib for part in canvas.workers["image"].memory_parts}
    assert held[term.name] == term.mib
    ink = make_lora(folder, tmp_path / "ink.safetensors")
    with pytest.raises(errors.ModelFileError, match="does not suit this FluxPipeline"):
        canvas.generate("a", preset=flux.name, loras={ink: 1}, width=64, height=64, **SMALL)
    assert canvas.reproduce(image).matches


def test_a_vae_from_elsewhere_changes_pixels_and_hash(
    canvas: Canvas, folder: Path, tmp_path: Path
) -> None:
    weights = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    weights["decoder.conv_out.bias"] += 0.5
    save_file(weights, tmp_path / "vae.safetensors")
    plain = ImagePreset(name=folder.name, model=str(folder))
    image = canvas.generate("a", preset=plain, **SMALL)
    bright = canvas.generate(
        "a", preset=plain.replace(vae=str(tmp_path / "vae.safetensors")), **SMALL
    )
    assert bright.numpy().mean() > image.numpy().mean()
    assert bright.recipe.request_hash != image.recipe.request_hash
    assert "vae.safetensors" in bright.recipe.model_files
    assert not any(name.startswith("vae/") for name in bright.recipe.model_files)


def test_files_that_change_under_a_preset_are_noticed(canvas: Canvas, folder: Path) -> None:
    preset = ImagePreset(name=folder.name, model=str(folder))
    first = canvas.submit("a", preset=preset, **SMALL)
    before = first.result()
    assert canvas.submit("a", preset=preset, **SMALL).result().recipe == before.recipe
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["conv_out.bias"] += 1.0
    save_file(weights, path, {"format": "pt"})
    job = canvas.submit("a", preset=folder.name, **SMALL)
    after = job.result()
    [notice] = job.notices
    assert "unet/diffusion_pytorch_model.safetensors" in notice
    assert after.recipe.preset_revision == before.recipe.preset_revision
    assert after.recipe.model_files != before.recipe.model_files
    assert not np.array_equal(after.numpy(), before.numpy())
    again = canvas.submit("a", preset=folder.name, **SMALL)
    again.result()
    assert again.notices == []


def test_no_picture_is_made_of_other_files_than_those_its_job_was_queued_with(
    canvas: Canvas, folder: Path
) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    first = shutil.copy(path, folder.parent / "first.safetensors")
    weights = load_file(path)
    weights["conv_out.bias"] += 1.0
    canvas.jobs.pause()
    try:
        job = canvas.submit("a", preset=folder, **SMALL)
        save_file(weights, path, {"format": "pt"})
    finally:
        canvas.jobs.resume()
    with pytest.raises(errors.ModelFileError, match=r"unet/diffusion_pytorch_model\.safetensors"):
        job.result()
    later = canvas.generate("a", preset=folder, **SMALL)
    # Nothing of the new file is left under the digest of the old one.
    shutil.copy(first, path)
    before = canvas.generate("a", preset=folder, **SMALL)
    assert before.recipe.model_files != later.recipe.model_files
    assert not np.array_equal(before.numpy(), later.numpy())


def test_a_single_file_is_a_preset_by_its_path(canvas: Canvas, tmp_path: Path) -> None:
    path = tmp_path / f"tiny-{tmp_path.name}.safetensors"
    checkpoints.write_sd(checkpoints.make_sd(), path)
    image = canvas.generate("a", preset=path, width=64, height=64, **SMALL)
    assert image.recipe.preset == path.stem
    assert image.recipe.pipeline == "StableDiffusionPipeline"
    assert list(image.recipe.model_files) == ["model.safetensors"]
    assert "from_single_file(MODEL" in image.recipe.to_code("diffusers")
    saved = canvas.presets.image[path.stem]
    assert saved.architecture == "StableDiffusionPipeline"


HOSTILE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: path.write_bytes(b""),
    "huge header": lambda path: path.write_bytes(struct.pack("<Q", 1 << 60) + bytes(100)),
    "deep": lambda path: path.write_bytes(struct.pack("<Q", 200_000) + b"[" * 200_000),
    "wrongly typed": lambda path: path.write_bytes(
        struct.pack("<Q", 60)
        + b'{"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}'.ljust(60)
        + bytes(8)
    ),
    "overlapping": lambda path: path.write_bytes(
        struct.pack("<Q", 120)
        + (
            b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
            b'"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}'
        ).ljust(120)
        + bytes(12)
    ),
}


@pytest.mark.fault("a hostile model file", "ModelFileError, and everything else goes on")
@pytest.mark.parametrize("damage", HOSTILE)
def test_a_hostile_file_is_an_error_and_nothing_more(
    canvas: Canvas, folder: Path, tmp_path: Path, damage: str
) -> None:
    single = tmp_path / "single.safetensors"
    single.write_bytes(bytes(1000))
    HOSTILE[damage](single)
    with pytest.raises(errors.ModelFileError, match=r"single\.safetensors"):
        canvas.generate("a", preset=single)
    HOSTILE[damage](folder / "unet" / "diffusion_pytorch_model.safetensors")
    restarts = canvas.workers["image"].restarts
    job = canvas.submit("a", preset=folder, **SMALL)
    with pytest.raises(errors.ModelFileError, match=r"damaged or cut off"):
        job.result(timeout=60)
    assert canvas.workers["image"].restarts == restarts


def test_models_of_other_programs_are_found_in_place(canvas: Canvas, folder: Path) -> None:
    before = sorted(folder.parent.rglob("*"))
    checkpoint = folder.parent / "checkpoints" / f"{folder.name}-file.safetensors"
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"")
    added = canvas.models.add(folder.parent)
    assert {(model.name, model.layout) for model in added} == {
        (folder.name, "diffusers"),
        (checkpoint.stem, "safetensors"),
    }
    assert canvas.models.add(folder.parent) == added
    assert [model for model in canvas.models.list("image") if model in added] == added
    assert canvas.models[folder.name].path == str(folder)
    assert folder.name in canvas.models._repr_html_()
    image = canvas.generate("a", preset=canvas.models[folder.name].path, **SMALL)
    assert image.recipe.preset == folder.name
    assert sorted(folder.parent.rglob("*")) == sorted([*before, checkpoint, checkpoint.parent])
    with pytest.raises(errors.InvalidRequest, match="folder="):
        canvas.models.add("/no/such/folder")
    with pytest.raises(errors.InvalidRequest, match="kind='film'"):
        canvas.models.list("film")  # type: ignore[arg-type]
