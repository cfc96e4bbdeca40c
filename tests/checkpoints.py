"""Tiny pipelines as single files, in the layout that their authors' checkpoints have.

The names are put together from the blocks of the original code, and not by undoing what diffusers
does with them, so that a test of both compares two independent things.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from mysticanvas.settings import data_folder
from mysticanvas.workers.image import checkpoint

Tensors = dict[str, torch.Tensor]

_END = "<|endoftext|>"
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}


def write_sd(pipeline: Any, path: Path) -> Path:
    """A Stable Diffusion 1 checkpoint: UNet, VAE and text encoder in one file."""
    tensors = {
        **_prefixed("model.diffusion_model.", unet(pipeline.unet)),
        **_prefixed("first_stage_model.", vae(pipeline.vae)),
        **_prefixed("cond_stage_model.transformer.", clip(pipeline.text_encoder)),
    }
    return write(tensors, path)


def write_sdxl(pipeline: Any, path: Path) -> Path:
    """A Stable Diffusion XL checkpoint, whose second text encoder has OpenCLIP's layout."""
    tensors = {
        **_prefixed("model.diffusion_model.", unet(pipeline.unet)),
        **_prefixed("first_stage_model.", vae(pipeline.vae)),
        **_prefixed("conditioner.embedders.0.transformer.", clip(pipeline.text_encoder)),
        **_prefixed("conditioner.embedders.1.model.", open_clip(pipeline.text_encoder_2)),
    }
    return write(tensors, path)


def flux() -> Tensors:
    """A Flux transformer by its authors' names, with a block of each kind. 1 GiB, since diffusers
    converts no other width than the published one."""
    width, inner = 3072, 4 * 3072
    sizes = {
        "img_in": (width, 64),
        "txt_in": (width, 32),
        "time_in.in_layer": (width, 256),
        "time_in.out_layer": (width, width),
        "vector_in.in_layer": (width, 32),
        "vector_in.out_layer": (width, width),
        "guidance_in.in_layer": (width, 256),
        "guidance_in.out_layer": (width, width),
        "single_blocks.0.linear1": (3 * width + inner, width),
        "single_blocks.0.linear2": (width, width + inner),
        "single_blocks.0.modulation.lin": (3 * width, width),
        "final_layer.linear": (64, width),
        "final_layer.adaLN_modulation.1": (2 * width, width),
    }
    norms = ["single_blocks.0.norm"]
    for side in ("img", "txt"):
        block = f"double_blocks.0.{side}"
        sizes[f"{block}_mod.lin"] = 6 * width, width
        sizes[f"{block}_attn.qkv"] = 3 * width, width
        sizes[f"{block}_attn.proj"] = width, width
        sizes[f"{block}_mlp.0"] = inner, width
        sizes[f"{block}_mlp.2"] = width, inner
        norms.append(f"{block}_attn.norm")
    tensors: Tensors = {}
    for number, (name, size) in enumerate(sizes.items()):
        tensors[f"{name}.weight"] = torch.zeros(size, dtype=torch.bfloat16)
        tensors[f"{name}.bias"] = torch.arange(size[0]).bfloat16() + number
    for norm in norms:
        for each in ("query", "key"):
            tensors[f"{norm}.{each}_norm.scale"] = torch.ones(128, dtype=torch.bfloat16)
    return tensors


_SD3_ENDS = {
    "pos_embed.pos_embed": "pos_embed",
    "pos_embed.proj": "x_embedder.proj",
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "context_embedder": "context_embedder",
    "proj_out": "final_layer.linear",
}
_SD3_BLOCK = {
    "norm1.linear": "x_block.adaLN_modulation.1",
    "norm1_context.linear": "context_block.adaLN_modulation.1",
    "attn.to_out.0": "x_block.attn.proj",
    "attn.to_add_out": "context_block.attn.proj",
    "ff.net.0.proj": "x_block.mlp.fc1",
    "ff.net.2": "x_block.mlp.fc2",
    "ff_context.net.0.proj": "context_block.mlp.fc1",
    "ff_context.net.2": "context_block.mlp.fc2",
}
_SD3_FUSED = {
    "x_block.attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "context_block.attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
}


def sd3(model: Any) -> Tensors:
    """An SD3Transformer2DModel. Its authors have shift before scale where there are two."""
    state = model.state_dict()
    tensors: Tensors = {}

    def take(theirs: str, *ours: str, swapped: bool = False) -> None:
        for end in (".weight", ".bias", ""):
            if all(f"{each}{end}" in state for each in ours):
                value = torch.cat([state[f"{each}{end}"] for each in ours])
                tensors[f"{theirs}{end}"] = torch.cat(value.chunk(2)[::-1]) if swapped else value

    for ours, theirs in _SD3_ENDS.items():
        take(theirs, ours)
    take("final_layer.adaLN_modulation.1", "norm_out.linear", swapped=True)
    last = model.config.num_layers - 1
    for number in range(last + 1):
        for ours, theirs in _SD3_BLOCK.items():
            alone = number == last and ours.startswith("norm1_context")
            place = f"joint_blocks.{number}.{theirs}"
            take(place, f"transformer_blocks.{number}.{ours}", swapped=alone)
        for theirs, several in _SD3_FUSED.items():
            names = (f"transformer_blocks.{number}.{each}" for each in several)
            take(f"joint_blocks.{number}.{theirs}", *names)
    return tensors


def write(tensors: Tensors, path: Path) -> Path:
    """A file of tensors."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def unet(model: Any) -> Tensors:
    """A UNet2DConditionModel, whose blocks are one list down and one list up."""
    layers = model.config.layers_per_block
    # What makes a level larger comes behind its attention, if it has any.
    attended = [kind.startswith("CrossAttn") for kind in model.config.up_block_types]
    return {_unet_name(name, layers, attended): value for name, value in model.state_dict().items()}


def _unet_name(name: str, layers: int, attended: list[bool]) -> str:
    for ours, theirs in _UNET_ENDS.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs)
    if match := re.fullmatch(r"mid_block\.(\w+)\.(\d+)\.(.*)", name):
        place = 1 if match[1] == "attentions" else 2 * int(match[2])
        return f"middle_block.{place}.{_unet_part(match[1], match[3])[2:]}"
    match = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name)
    assert match, name
    level, kind, rest = int(match[2]), match[3], match[5]
    block = level * (layers + 1) + int(match[4])
    if kind == "downsamplers":
        return f"input_blocks.{1 + block + layers}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        return f"output_blocks.{block + layers}.{2 if attended[level] else 1}.{rest}"
    if match[1] == "down":
        return f"input_blocks.{1 + block}.{_unet_part(kind, rest)}"
    return f"output_blocks.{block}.{_unet_part(kind, rest)}"


def _unet_part(kind: str, rest: str) -> str:
    if kind == "attentions":
        return f"1.{rest}"
    part, _, end = rest.rpartition(".")
    return f"0.{_RESNET[part]}.{end}"


def vae(model: Any) -> Tensors:
    """An AutoencoderKL, whose decoder counts its levels from the outside in."""
    levels = len(model.config.block_out_channels)
    return dict(_vae_tensor(name, value, levels) for name, value in model.state_dict().items())


def _vae_tensor(name: str, value: torch.Tensor, levels: int) -> tuple[str, torch.Tensor]:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    if match := re.fullmatch(r"encoder\.down_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name):
        level, kind, number, rest = match.groups()
        part = f"block.{number}" if kind == "resnets" else "downsample"
        return f"encoder.down.{level}.{part}.{rest}", value
    if match := re.fullmatch(r"decoder\.up_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name):
        level, kind, number, rest = match.groups()
        part = f"block.{number}" if kind == "resnets" else "upsample"
        return f"decoder.up.{levels - 1 - int(level)}.{part}.{rest}", value
    if match := re.fullmatch(r"(\w+)\.mid_block\.resnets\.(\d)\.(.*)", name):
        return f"{match[1]}.mid.block_{int(match[2]) + 1}.{match[3]}", value
    if match := re.fullmatch(r"(\w+)\.mid_block\.attentions\.0\.(.*)\.(\w+)", name):
        part = _VAE_ATTENTION[match[2]]
        if part != "norm" and match[3] == "weight":
            value = value[..., None, None]
        return f"{match[1]}.mid.attn_1.{part}.{match[3]}", value
    return name, value


def clip(model: Any) -> Tensors:
    """A text encoder by the names that transformers writes to files."""
    return {
        name if name.startswith("text_") else f"text_model.{name}": value
        for name, value in model.state_dict().items()
    }


def open_clip(model: Any) -> Tensors:
    """A text encoder by OpenCLIP's names: one tensor for query, key and value."""
    found: Tensors = {}
    state = clip(model)
    found["token_embedding.weight"] = state["text_model.embeddings.token_embedding.weight"]
    found["positional_embedding"] = state["text_model.embeddings.position_embedding.weight"]
    found["text_projection"] = state["text_projection.weight"].T
    for end in ("weight", "bias"):
        found[f"ln_final.{end}"] = state[f"text_model.final_layer_norm.{end}"]
        for layer in range(model.config.num_hidden_layers):
            ours, theirs = f"text_model.encoder.layers.{layer}", f"transformer.resblocks.{layer}"
            found[f"{theirs}.attn.in_proj_{end}"] = torch.cat(
                [state[f"{ours}.self_attn.{each}_proj.{end}"] for each in "qkv"]
            )
            for mine, other in (
                ("self_attn.out_proj", "attn.out_proj"),
                ("layer_norm1", "ln_1"),
                ("layer_norm2", "ln_2"),
                ("mlp.fc1", "mlp.c_fc"),
                ("mlp.fc2", "mlp.c_proj"),
            ):
                found[f"{theirs}.{other}.{end}"] = state[f"{ours}.{mine}.{end}"]
    return found


def _prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {f"{prefix}{name}": value for name, value in tensors.items()}


def make_sd() -> Any:
    """A pipeline of Stable Diffusion 1's structure: only widths are smaller, and the layers of its
    text encoder fewer."""
    torch.manual_seed(0)
    return StableDiffusionPipeline(
        unet=UNet2DConditionModel(
            block_out_channels=(32, 64, 64, 64),
            layers_per_block=1,
            cross_attention_dim=64,
        ),
        vae=_vae(0.18215),
        text_encoder=CLIPTextModel(_text(64)),
        tokenizer=checkpoint.clip_tokenizer(_END),
        scheduler=_scheduler(PNDMScheduler, "stable-diffusion-1"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def make_sdxl() -> Any:
    """A pipeline of Stable Diffusion XL's structure, in the same way."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(32, 64, 128),
        layers_per_block=1,
        cross_attention_dim=64 + 128,
        attention_head_dim=(1, 1, 2),
        transformer_layers_per_block=(1, 1, 2),
        use_linear_projection=True,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=96 + 6 * 256,
    )
    return StableDiffusionXLPipeline(
        unet=unet,
        vae=_vae(0.13025, sample_size=1024, force_upcast=True),
        text_encoder=CLIPTextModel(_text(64)),
        text_encoder_2=CLIPTextModelWithProjection(_text(128, hidden_act="gelu")),
        tokenizer=checkpoint.clip_tokenizer(_END),
        tokenizer_2=checkpoint.clip_tokenizer("!"),
        scheduler=_scheduler(EulerDiscreteScheduler, "stable-diffusion-xl"),
        add_watermarker=False,
    )


def _scheduler(kind: Any, architecture: str) -> Any:
    return kind.from_pretrained(data_folder() / "architectures" / architecture / "scheduler")


def _vae(scaling: float, **more: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(32, 32, 32, 64),
        layers_per_block=1,
        scaling_factor=scaling,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        **more,
    )


def _text(width: int, **more: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=49408,
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=96 if more else width,
        num_hidden_layers=2,
        num_attention_heads=width // 64,
        eos_token_id=2,
        **more,
    )
