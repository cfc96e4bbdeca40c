"""Which architecture a single-file checkpoint has, and how large its parts are: pure.

A checkpoint has tensors and no configuration. What shapes cannot tell is in the package's
`architectures` folder, one folder a kind, in the layout of diffusers; what they can tell is read
here, so that pruned and distilled variants load as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mysticanvas.workers.model_files import shapes as of_part
from mysticanvas.workers.model_files.shapes import Config, Shapes

_DENOISER = ("model.diffusion_model.", "")
_PREFIXES: dict[str, tuple[str, ...]] = {
    "unet": _DENOISER,
    "transformer": _DENOISER,
    "vae": ("first_stage_model.", "vae.", ""),
    "text_encoder": (
        "cond_stage_model.transformer.",
        "conditioner.embedders.0.transformer.",
        "text_encoders.clip_l.transformer.",
        "",
    ),
    "text_encoder_2": (
        "conditioner.embedders.1.model.",
        "text_encoders.clip_g.transformer.",
        "text_encoders.t5xxl.transformer.",
        "",
    ),
    "text_encoder_3": ("text_encoders.t5xxl.transformer.", ""),
}
"""Component -> what its tensors' names begin with, in the layouts that checkpoints have."""

_LORA = (".lora_down.", ".lora_A.", "_lora.down.", ".lora.down.", ".lora_linear_layer.down.")

_SIZES: dict[str, tuple[tuple[str, ...], Callable[[Shapes, Config], Config]]] = {
    "UNet2DConditionModel": (("input_blocks.0.0.weight", "conv_in.weight"), of_part.unet),
    "AutoencoderKL": (("encoder.conv_in.weight",), of_part.vae),
    "CLIPTextModel": (("text_model.embeddings.token_embedding.weight",), of_part.clip),
    "CLIPTextModelWithProjection": (
        ("text_model.embeddings.token_embedding.weight", "token_embedding.weight"),
        of_part.clip,
    ),
    "T5EncoderModel": (("encoder.block.0.layer.0.SelfAttention.q.weight",), of_part.t5),
    "FluxTransformer2DModel": (
        (
            "double_blocks.0.img_attn.norm.key_norm.scale",
            "single_transformer_blocks.0.proj_mlp.weight",
        ),
        of_part.flux,
    ),
    "SD3Transformer2DModel": (
        ("joint_blocks.0.context_block.adaLN_modulation.1.bias",),
        of_part.sd3,
    ),
    "ZImageTransformer2DModel": (("cap_embedder.1.weight",), of_part.z_image),
    "QwenImageTransformer2DModel": (("transformer_blocks.0.attn.add_q_proj.weight",), of_part.qwen),
}
"""Class -> names of which a file of it has one, and how its shapes become a configuration."""


def identify(shapes: Shapes) -> str | None:
    """The architecture of a checkpoint, by the names of its tensors; None if it is unknown.

    Only those that make pictures from a prompt are known: a UNet with further channels for a mask
    is not.
    """
    for prefix in _DENOISER:
        own = _without(shapes, prefix)
        if "input_blocks.0.0.weight" in own:
            return _stable_diffusion(shapes, own)
        if "joint_blocks.0.context_block.adaLN_modulation.1.bias" in own:
            return "stable-diffusion-3"
        if "distilled_guidance_layer.in_proj.bias" in own or "txt_in.text_norm.weight" in own:
            return None
        if _has("FluxTransformer2DModel", own):
            guided = "guidance_in.in_layer.weight" in own or any(
                name.startswith("time_text_embed.guidance_embedder.") for name in own
            )
            return "flux-1-dev" if guided else "flux-1-schnell"
        if {"cap_embedder.1.weight", "layers.0.adaLN_modulation.0.weight"} <= own.keys():
            return "z-image"
        if {"img_in.weight", "txt_norm.weight"} <= own.keys() and _has(
            "QwenImageTransformer2DModel", own
        ):
            return "qwen-image"
    return None


def is_lora(shapes: Shapes) -> bool:
    """Whether tensors are those of a LoRA, by their names in any layout."""
    return any(pattern in name for name in shapes for pattern in _LORA)


def configure(component: str, kind: str, shapes: Shapes, template: Config) -> Config | None:
    """The configuration of a part of a pipeline, as the tensors of a file tell it.

    Args:
        component: such as `unet` or `text_encoder_2`.
        kind: class name of the part, such as `UNet2DConditionModel`.
        template: a configuration of the same architecture, for what shapes cannot tell.

    Returns:
        The configuration, or None if the file does not have the part.

    Raises:
        ModelFileError: it has the part, but not all of it.
    """
    if kind not in _SIZES:
        return None
    for prefix in _PREFIXES.get(component, ("",)):
        own = _without(shapes, prefix)
        if _has(kind, own):
            return of_part.complete(kind, _SIZES[kind][1], own, template)
    return None


def _has(kind: str, own: Shapes) -> bool:
    return any(name in own for name in _SIZES[kind][0])


def _stable_diffusion(shapes: Shapes, own: Shapes) -> str | None:
    if own["input_blocks.0.0.weight"][1:2] != (4,):
        return None
    if "label_emb.0.0.weight" in own:
        # The refiner continues pictures; it makes none from a prompt alone.
        is_refiner = "conditioner.embedders.0.model.text_projection" in shapes
        return None if is_refiner else "stable-diffusion-xl"
    is_second = any(name.startswith("cond_stage_model.model.") for name in shapes)
    return None if is_second else "stable-diffusion-1"


def _without(shapes: Shapes, prefix: str) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): shape
        for name, shape in shapes.items()
        if name.startswith(prefix)
    }
