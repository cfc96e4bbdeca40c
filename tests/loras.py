"""Tiny LoRAs with random numbers, in the layouts that their trainers write."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import DiffusionPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

Layout = Literal["diffusers", "kohya"]
_ATTENTION = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj"]
_TEXT = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
_KOHYA = {"unet": "lora_unet", "text_encoder": "lora_te", "text_encoder_2": "lora_te2"}


def make_lora(
    folder: Path,
    path: Path,
    *,
    layout: Layout = "diffusers",
    rank: int = 4,
    alpha: float | None = None,
    seed: int = 0,
    text: bool = True,
    convolutions: bool = False,
    strength: float = 0.5,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """A LoRA for the model in a diffusers folder.

    Args:
        alpha: its scale is `alpha / rank`; equal to the rank by default.
        text: whether it changes text encoders as well.
        convolutions: whether it changes some convolutions as well.
        strength: how far its numbers spread.
    """
    torch.manual_seed(seed)
    pipeline = DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    more = ["conv1", "conv_in"] if convolutions else []
    targets = {"unet": _ATTENTION + more, "transformer": _ATTENTION}
    if text:
        targets |= {"text_encoder": _TEXT, "text_encoder_2": _TEXT}
    layers, configs = {}, {}
    for component, modules in targets.items():
        model = getattr(pipeline, component, None)
        if model is None:
            continue
        config = LoraConfig(r=rank, lora_alpha=alpha or rank, target_modules=modules)
        model.add_adapter(config)
        configs[component] = config
        layers[component] = {
            name: (torch.randn(value.shape) * strength).to(dtype)
            for name, value in get_peft_model_state_dict(model).items()
        }
    _WRITERS[layout](pipeline, layers, configs, path)
    return path


def _as_diffusers(pipeline: Any, layers: Any, configs: Any, path: Path) -> None:
    metadata = {f"{name}_lora_adapter_metadata": each.to_dict() for name, each in configs.items()}
    if len(configs) == 1:
        metadata = {}
    pipeline.save_lora_weights(
        path.parent,
        weight_name=path.name,
        **{
            f"{name}_lora_layers" if name != "transformer" else "transformer_lora_layers": each
            for name, each in layers.items()
        },
        **metadata,
    )


def _as_kohya(_: Any, layers: Any, configs: Any, path: Path) -> None:
    tensors: dict[str, torch.Tensor] = {}
    two = "text_encoder_2" in layers
    for component, of_it in layers.items():
        start = "lora_te1" if two and component == "text_encoder" else _KOHYA[component]
        for name, value in of_it.items():
            module, side = re.fullmatch(r"(.*)\.lora_([AB])\.weight", name).groups()  # type: ignore[union-attr]
            if component.startswith("text") and not module.startswith("text_model."):
                module = f"text_model.{module}"
            key = f"{start}_{module.replace('.', '_')}"
            tensors[f"{key}.lora_{'down' if side == 'A' else 'up'}.weight"] = value.contiguous()
            tensors[f"{key}.alpha"] = torch.tensor(float(configs[component].lora_alpha))
    save_file(tensors, path)


_WRITERS: dict[Layout, Callable[[Any, Any, Any, Path], None]] = {
    "diffusers": _as_diffusers,
    "kohya": _as_kohya,
}
