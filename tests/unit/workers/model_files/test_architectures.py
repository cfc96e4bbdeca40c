"""Architectures by names and shapes alone, at their published sizes where they are known."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import (
    FluxTransformer2DModel,
    QwenImageTransformer2DModel,
    SD3Transformer2DModel,
    UNet2DConditionModel,
    ZImageTransformer2DModel,
)

from mysticanvas.errors import ModelFileError
from mysticanvas.settings import data_folder
from mysticanvas.workers.model_files import architectures, shapes as sizes

CLASSES = {
    "stable-diffusion-1": ("unet", UNet2DConditionModel),
    "stable-diffusion-xl": ("unet", UNet2DConditionModel),
    "stable-diffusion-3": ("transformer", SD3Transformer2DModel),
    "flux-1-dev": ("transformer", FluxTransformer2DModel),
    "flux-1-schnell": ("transformer", FluxTransformer2DModel),
    "z-image": ("transformer", ZImageTransformer2DModel),
    "qwen-image": ("transformer", QwenImageTransformer2DModel),
}
BILLIONS = {
    "stable-diffusion-1": 0.86,
    "stable-diffusion-xl": 2.57,
    "stable-diffusion-3": 2.0,
    "flux-1-dev": 11.90,
    "flux-1-schnell": 11.89,
    "z-image": 6.15,
    "qwen-image": 20.43,
}
"""Parameters of what denoises, as published with the models."""


def template(architecture: str, component: str) -> dict[str, Any]:
    path = data_folder() / "architectures" / architecture / component / "config.json"
    config: dict[str, Any] = json.loads(path.read_text())
    return config


def full_size(architecture: str) -> torch.nn.Module:
    """What denoises, at its size and without numbers."""
    component, kind = CLASSES[architecture]
    with torch.device("meta"):
        return kind.from_config(template(architecture, component))


@pytest.mark.parametrize("architecture", CLASSES)
def test_what_ships_describes_the_published_model(architecture: str) -> None:
    parameters = sum(value.numel() for value in full_size(architecture).parameters())
    assert parameters / 1e9 == pytest.approx(BILLIONS[architecture], rel=0.02)


@pytest.mark.parametrize("architecture", [name for name in CLASSES if name != "stable-diffusion-3"])
def test_sizes_are_read_from_shapes(architecture: str) -> None:
    """The layout of diffusers; the authors' own are in the tests of the image worker."""
    component, kind = CLASSES[architecture]
    shapes = {name: tuple(v.shape) for name, v in full_size(architecture).state_dict().items()}
    config = template(architecture, component)
    read = architectures.configure(component, kind.__name__, shapes, config)
    assert read is not None
    same = {name: read[name] for name in config}
    if architecture == "stable-diffusion-1":
        assert same.pop("block_out_channels") == config.pop("block_out_channels")
    assert same == config


UNET = "model.diffusion_model."


@pytest.mark.parametrize(
    ("shapes", "architecture"),
    [
        ({f"{UNET}input_blocks.0.0.weight": (320, 4, 3, 3)}, "stable-diffusion-1"),
        ({f"{UNET}input_blocks.0.0.weight": (320, 9, 3, 3)}, None),
        (
            {
                f"{UNET}input_blocks.0.0.weight": (320, 4, 3, 3),
                "cond_stage_model.model.ln_final.weight": (1024,),
            },
            None,
        ),
        (
            {
                f"{UNET}input_blocks.0.0.weight": (320, 4, 3, 3),
                f"{UNET}label_emb.0.0.weight": (1280, 2816),
            },
            "stable-diffusion-xl",
        ),
        (
            {
                f"{UNET}input_blocks.0.0.weight": (384, 4, 3, 3),
                f"{UNET}label_emb.0.0.weight": (1536, 2560),
                "conditioner.embedders.0.model.text_projection": (1280, 1280),
            },
            None,
        ),
        (
            {f"{UNET}joint_blocks.0.context_block.adaLN_modulation.1.bias": (1,)},
            "stable-diffusion-3",
        ),
        ({"double_blocks.0.img_attn.norm.key_norm.scale": (128,)}, "flux-1-schnell"),
        (
            {
                "double_blocks.0.img_attn.norm.key_norm.scale": (128,),
                "guidance_in.in_layer.weight": (3072, 256),
            },
            "flux-1-dev",
        ),
        (
            {
                "double_blocks.0.img_attn.norm.key_norm.scale": (128,),
                "distilled_guidance_layer.in_proj.bias": (1,),
            },
            None,
        ),
        ({}, None),
        ({"lora_unet_down.weight": (4, 4)}, None),
    ],
)
def test_an_architecture_is_known_by_the_names_of_tensors(
    shapes: dict[str, tuple[int, ...]], architecture: str | None
) -> None:
    assert architectures.identify(shapes) == architecture


def test_a_flux_of_the_authors_has_its_published_size() -> None:
    """Names and shapes as flux1-dev.safetensors has them."""
    shapes: dict[str, tuple[int, ...]] = {
        "img_in.weight": (3072, 64),
        "txt_in.weight": (3072, 4096),
        "vector_in.in_layer.weight": (3072, 768),
        "guidance_in.in_layer.weight": (3072, 256),
    }
    for block in range(19):
        shapes[f"double_blocks.{block}.img_attn.norm.key_norm.scale"] = (128,)
    for block in range(38):
        shapes[f"single_blocks.{block}.linear1.weight"] = (21504, 3072)
    config = template("flux-1-dev", "transformer")
    read = architectures.configure("transformer", "FluxTransformer2DModel", shapes, config)
    assert read == config


def test_an_sd3_of_the_authors_has_its_published_size() -> None:
    """Names and shapes as sd3_medium.safetensors has them."""
    shapes: dict[str, tuple[int, ...]] = {
        f"{UNET}x_embedder.proj.weight": (1536, 16, 2, 2),
        f"{UNET}context_embedder.weight": (1536, 4096),
        f"{UNET}y_embedder.mlp.0.weight": (1536, 2048),
        f"{UNET}pos_embed": (1, 36864, 1536),
    }
    for block in range(24):
        shapes[f"{UNET}joint_blocks.{block}.context_block.adaLN_modulation.1.bias"] = (9216,)
    config = template("stable-diffusion-3", "transformer")
    read = architectures.configure("transformer", "SD3Transformer2DModel", shapes, config)
    assert read == config


@pytest.mark.parametrize(
    "change",
    [
        lambda shapes: shapes.pop("txt_in.weight"),
        lambda shapes: shapes.update({"txt_in.weight": (3,)}),
        lambda shapes: shapes.update({"single_blocks.5.linear1.weight": (3,)}),
        lambda shapes: shapes.update({"img_in.weight": (3072,)}),
        lambda shapes: shapes.update({"double_blocks.0.img_attn.norm.key_norm.scale": (0,)}),
        lambda shapes: shapes.update(
            {f"single_blocks.{n}.linear1.weight": (3,) for n in range(sizes.MAX_BLOCKS + 1)}
        ),
    ],
)
def test_impossible_shapes_are_refused(change: Callable[[Any], object]) -> None:
    shapes: dict[str, tuple[int, ...]] = {
        "img_in.weight": (3072, 64),
        "txt_in.weight": (3072, 4096),
        "vector_in.in_layer.weight": (3072, 768),
        "double_blocks.0.img_attn.norm.key_norm.scale": (128,),
    }
    change(shapes)
    with pytest.raises(ModelFileError, match="no complete FluxTransformer2DModel"):
        architectures.configure("transformer", "FluxTransformer2DModel", shapes, {})


def test_a_part_that_is_not_there_is_none() -> None:
    assert architectures.configure("vae", "AutoencoderKL", {"a": (1,)}, {}) is None
    assert architectures.configure("tokenizer", "CLIPTokenizer", {"a": (1,)}, {}) is None
