"""Weights by headers are those that a loaded pipeline has, for whatever a model is made of."""

from pathlib import Path
from typing import Any

import checkpoints
import pytest
import torch
import transformer_models
from models import make_sd, make_sdxl
from safetensors.torch import load_file

from mysticanvas.contracts.model_files import ModelFiles
from mysticanvas.contracts.tracing import Shape, TraceOrder
from mysticanvas.errors import ModelFileError
from mysticanvas.vram import envelope
from mysticanvas.workers.image import components, devices, loading, profiling
from mysticanvas.workers.image.parts import Replaced

MIB = 1 << 20
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Name -> path, of folders and of the files that were written from them."""
    root = tmp_path_factory.mktemp("components")
    found = {"tiny": make_sd(root / "tiny"), "tiny xl": make_sdxl(root / "tiny-xl")}
    for name, make, write in (
        ("sd", checkpoints.make_sd, checkpoints.write_sd),
        ("sdxl", checkpoints.make_sdxl, checkpoints.write_sdxl),
    ):
        pipeline = make()
        pipeline.save_pretrained(root / name)
        found[f"{name} folder"] = root / name
        found[f"{name} file"] = write(pipeline, root / f"{name}.safetensors")
        found[f"{name} vae"] = checkpoints.write(
            checkpoints.vae(pipeline.vae), root / f"{name}-vae.safetensors"
        )
        found[f"{name} unet"] = checkpoints.write(
            checkpoints.unet(pipeline.unet), root / f"{name}-unet.safetensors"
        )
        clip = checkpoints.clip(pipeline.text_encoder)
        found[f"{name} clip"] = checkpoints.write(clip, root / f"{name}-clip.safetensors")
    found["sd3"] = transformer_models.make_sd3(root / "sd3")
    found["flux"] = transformer_models.make_flux(root / "flux")
    found["qwen"] = transformer_models.make_qwen_image(root / "qwen")
    found["z"] = transformer_models.make_z_image(root / "z")
    transformer = transformer_models.flux_transformer().state_dict()
    found["flux file"] = checkpoints.write(transformer, root / "flux.safetensors")
    return {name: str(path) for name, path in found.items()}


MODELS: dict[str, dict[str, Any]] = {
    "a folder": {"path": "tiny"},
    "a folder with two text encoders": {"path": "tiny xl"},
    "a file": {"path": "sd file"},
    "a file with two text encoders": {"path": "sdxl file"},
    "a folder, a file's VAE": {"path": "sd folder", "vae": "sd vae"},
    "a folder, a checkpoint's VAE": {"path": "sd folder", "vae": "sdxl file"},
    "a folder, a folder's VAE": {"path": "sd folder", "vae": "sdxl folder"},
    "a folder, another UNet": {"path": "sd folder", "unet": "sd unet"},
    "a file, another UNet and text encoder": {
        "path": "sd file",
        "unet": "sd folder",
        "clip": ("sd clip",),
    },
    "a file, both text encoders": {"path": "sdxl file", "clip": ("sdxl folder",)},
    "a T5 that stays in float32 in part": {"path": "sd3"},
    "a text encoder that sees": {"path": "qwen"},
    "a text encoder that is a language model": {"path": "z"},
    "a transformer alone": {"path": "flux file", "vae": "flux", "clip": ("flux",)},
}


def files(made: dict[str, str], given: dict[str, Any]) -> ModelFiles:
    return ModelFiles.model_validate(
        {
            role: tuple(made[each] for each in names) if role == "clip" else made[names]
            for role, names in given.items()
        }
    )


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", MODELS)
def test_the_weights_are_those_of_the_loaded_model(
    name: str, dtype: Any, made: dict[str, str]
) -> None:
    model = files(made, MODELS[name])
    pipeline = loading.load(Path(model.path), CPU, getattr(torch, dtype), Replaced.of(model))
    held = {part.name: round(part.mib * MIB) for part in devices.weights(pipeline)}
    found = components.of(model).weights(dtype)
    assert {f"weights.{component}": size for component, size in found.items()} == held


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_a_file_works_as_the_folder_that_it_was_written_from(
    name: str, made: dict[str, str]
) -> None:
    of_file, of_folder = (
        profiling.profile(TraceOrder(path=made[f"{name} {kind}"], dtype="float16", device="cuda"))
        for kind in ("file", "folder")
    )
    assert of_file.profile.weights == of_folder.profile.weights
    assert of_file.profile.decoding_weights == of_folder.profile.decoding_weights
    assert (of_file.profile.decoding_weights > 0) == (name == "sdxl")
    assert of_file.profile.latents == of_folder.profile.latents
    pairs = zip(of_file.profile.traced, of_folder.profile.traced, strict=True)
    for one, other in pairs:
        assert (one.component, one.key.phase) == (other.component, other.key.phase)
        shape = Shape(batch=2, width=48, height=40, tokens=77)
        if one.key.phase == "text_encode":
            shape = Shape(width=77)
        assert envelope.peak(one.envelope, shape) == envelope.peak(other.envelope, shape)


def test_a_part_from_elsewhere_is_traced_instead(made: dict[str, str]) -> None:
    plain, replaced = (
        profiling.profile(
            TraceOrder(path=made["tiny"], vae=vae, dtype="float16", phases=("vae_decode",))
        ).profile
        for vae in (None, made["sdxl vae"])
    )
    assert (plain.latents.factor, replaced.latents.factor) == (4, 8)
    assert plain.weights["vae"] != replaced.weights["vae"]
    assert plain.weights["unet"] == replaced.weights["unet"]
    assert plain.traced[0].key.config != replaced.traced[0].key.config


def test_what_cannot_be_loaded_is_not_planned(made: dict[str, str], tmp_path: Path) -> None:
    def refused(match: str, **given: Any) -> None:
        with pytest.raises(ModelFileError, match=match):
            components.of(ModelFiles(**given))

    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(Path(made["sd file"]).read_bytes()[:5000])
    refused("damaged or cut off", path=str(cut))
    refused("damaged or cut off", path=made["tiny"], vae=str(cut))
    pickle = tmp_path / "model.ckpt"
    pickle.write_bytes(b"\x80\x04.")
    refused("pickle", path=str(pickle))
    refused("pickle", path=made["tiny"], unet=str(pickle))
    refused("no text_encoder", path=made["flux file"], vae=made["flux"])
    refused("holds no AutoencoderKL", path=made["tiny"], vae=made["sd unet"])
    tensors = load_file(made["sd file"])
    half = {name: each for name, each in tensors.items() if "time_embed.0" not in name}
    half.pop("first_stage_model.decoder.conv_in.weight")
    path = checkpoints.write(half, tmp_path / "half.safetensors")
    refused("no complete AutoencoderKL", path=str(path))
