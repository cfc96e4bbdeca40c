"""Configurations of a pipeline's parts as the shapes of their tensors tell them: pure.

Names of tensors are those of the layouts that checkpoints come in: the one of the model's authors,
and the one of diffusers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from mysticanvas.errors import ModelFileError

Shapes = Mapping[str, tuple[int, ...]]
"""Name of a tensor -> its shape."""
Config = dict[str, Any]
"""A configuration of diffusers or transformers."""

MAX_BLOCKS = 512
"""Blocks of a kind, since building a model of more would take a hostile file's time."""
_HEAD_WIDTH = 64
"""Channels of an attention head, in all models whose shapes do not show it."""


def complete(
    kind: str, configure: Callable[[Shapes, Config], Config], shapes: Shapes, template: Config
) -> Config:
    """What `configure` makes of the shapes.

    Raises:
        ModelFileError: a tensor that it needs is missing, or has too few dimensions.
    """
    try:
        return configure(shapes, template)
    except KeyError as missing:
        what = f"has no tensor {missing.args[0]!r}"
    except (IndexError, ValueError, ZeroDivisionError, StopIteration):
        what = "has tensors of impossible shapes"
    raise ModelFileError(
        f"The file is no complete {kind}: it {what}.",
        hint="Copy or download the file again, or give the model as a diffusers folder.",
    )


def unet(shapes: Shapes, template: Config) -> Config:
    """UNet2DConditionModel, in either layout."""
    ours = "conv_in.weight" in shapes
    levels = _diffusers_levels(shapes) if ours else _original_levels(shapes)
    channels = [channels for channels, _, _ in levels]
    depths = [depth for _, _, depth in levels]
    attention = next(name for name in shapes if name.endswith("attn2.to_k.weight"))
    inward = next(name for name in shapes if name.endswith("proj_in.weight"))
    added = "add_embedding.linear_1.weight" if ours else "label_emb.0.0.weight"
    config = {
        **template,
        "in_channels": shapes["conv_in.weight" if ours else "input_blocks.0.0.weight"][1],
        "out_channels": shapes["conv_out.weight" if ours else "out.2.weight"][0],
        "block_out_channels": channels,
        "layers_per_block": levels[0][1],
        "cross_attention_dim": shapes[attention][1],
        "use_linear_projection": len(shapes[inward]) == 2,
        "transformer_layers_per_block": [max(depth, 1) for depth in depths],
        "down_block_types": ["CrossAttnDownBlock2D" if d else "DownBlock2D" for d in depths],
        "up_block_types": ["CrossAttnUpBlock2D" if d else "UpBlock2D" for d in depths[::-1]],
    }
    if isinstance(template.get("attention_head_dim"), list):
        config["attention_head_dim"] = [max(width // _HEAD_WIDTH, 1) for width in channels]
    if added in shapes:
        config["projection_class_embeddings_input_dim"] = shapes[added][1]
    return config


def _diffusers_levels(shapes: Shapes) -> list[tuple[int, int, int]]:
    """Of each level: channels, residual blocks, transformer blocks in each of them."""
    return [
        (
            shapes[f"down_blocks.{level}.resnets.0.conv2.weight"][0],
            blocks(shapes, f"down_blocks.{level}.resnets."),
            blocks(shapes, f"down_blocks.{level}.attentions.0.transformer_blocks."),
        )
        for level in range(blocks(shapes, "down_blocks."))
    ]


def _original_levels(shapes: Shapes) -> list[tuple[int, int, int]]:
    """The same where blocks and the steps down between the levels are one list."""
    levels = [(0, 0, 0)]
    for block in range(1, blocks(shapes, "input_blocks.")):
        if f"input_blocks.{block}.0.op.weight" in shapes:
            levels.append((0, 0, 0))
            continue
        levels[-1] = (
            shapes[f"input_blocks.{block}.0.in_layers.2.weight"][0],
            levels[-1][1] + 1,
            blocks(shapes, f"input_blocks.{block}.1.transformer_blocks."),
        )
    return levels


def vae(shapes: Shapes, template: Config) -> Config:
    """AutoencoderKL, in either layout."""
    ours = "encoder.down_blocks.0.resnets.0.conv2.weight" in shapes
    down, block = ("encoder.down_blocks.", "resnets") if ours else ("encoder.down.", "block")
    levels = blocks(shapes, down)
    return {
        **template,
        "block_out_channels": [
            shapes[f"{down}{level}.{block}.0.conv2.weight"][0] for level in range(levels)
        ],
        "layers_per_block": blocks(shapes, f"{down}0.{block}."),
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "use_quant_conv": "quant_conv.weight" in shapes,
        "use_post_quant_conv": "post_quant_conv.weight" in shapes,
    }


def clip(shapes: Shapes, template: Config) -> Config:
    """A CLIP text encoder, as transformers names it or as OpenCLIP does."""
    if "token_embedding.weight" in shapes:
        words, positions = "token_embedding.weight", "positional_embedding"
        layers, inner = "transformer.resblocks.", "mlp.c_fc.weight"
    else:
        words = "text_model.embeddings.token_embedding.weight"
        positions = "text_model.embeddings.position_embedding.weight"
        layers, inner = "text_model.encoder.layers.", "mlp.fc1.weight"
    vocabulary, width = shapes[words]
    # OpenCLIP has it the other way round.
    projection = shapes.get("text_projection.weight", shapes.get("text_projection", (width,))[::-1])
    return {
        **template,
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": shapes[f"{layers}0.{inner}"][0],
        "max_position_embeddings": shapes[positions][0],
        "num_hidden_layers": blocks(shapes, layers),
        "num_attention_heads": max(width // _HEAD_WIDTH, 1),
        "projection_dim": projection[0],
    }


def t5(shapes: Shapes, template: Config) -> Config:
    """The encoder of a T5."""
    first = "encoder.block.0.layer."
    heads = shapes[f"{first}0.SelfAttention.relative_attention_bias.weight"][1]
    queries, width = shapes[f"{first}0.SelfAttention.q.weight"]
    return {
        **template,
        "vocab_size": shapes["shared.weight"][0],
        "d_model": width,
        "d_kv": queries // heads,
        "num_heads": heads,
        "d_ff": shapes[f"{first}1.DenseReluDense.wi_0.weight"][0],
        "num_layers": blocks(shapes, "encoder.block."),
    }


def flux(shapes: Shapes, template: Config) -> Config:
    """FluxTransformer2DModel, in either layout."""
    if "single_transformer_blocks.0.proj_mlp.weight" in shapes:
        image, text, pooled = (
            "x_embedder.weight",
            "context_embedder.weight",
            "time_text_embed.text_embedder.linear_1.weight",
        )
        double, single = "transformer_blocks.", "single_transformer_blocks."
        norm, guidance = (
            "transformer_blocks.0.attn.norm_q.weight",
            "time_text_embed.guidance_embedder.linear_1.weight",
        )
    else:
        image, text, pooled = "img_in.weight", "txt_in.weight", "vector_in.in_layer.weight"
        double, single = "double_blocks.", "single_blocks."
        norm, guidance = (
            "double_blocks.0.img_attn.norm.key_norm.scale",
            "guidance_in.in_layer.weight",
        )
    width, channels = shapes[image]
    head = shapes[norm][0]
    return {
        **template,
        "in_channels": channels,
        "joint_attention_dim": shapes[text][1],
        "pooled_projection_dim": shapes[pooled][1],
        "num_layers": blocks(shapes, double),
        "num_single_layers": blocks(shapes, single),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "axes_dims_rope": _axes(head),
        "guidance_embeds": guidance in shapes,
    }


def sd3(shapes: Shapes, template: Config) -> Config:
    """SD3Transformer2DModel, as its authors name the tensors."""
    width, joint = shapes["context_embedder.weight"]
    layers = blocks(shapes, "joint_blocks.")
    dual = [n for n in range(layers) if f"joint_blocks.{n}.x_block.attn2.qkv.weight" in shapes]
    normed = any(".attn.ln_q." in name for name in shapes)
    return {
        **template,
        "in_channels": shapes["x_embedder.proj.weight"][1],
        "patch_size": shapes["x_embedder.proj.weight"][2],
        "joint_attention_dim": joint,
        "caption_projection_dim": width,
        "pooled_projection_dim": shapes["y_embedder.mlp.0.weight"][1],
        "pos_embed_max_size": math.isqrt(shapes["pos_embed"][1]),
        "num_layers": layers,
        "num_attention_heads": width // template["attention_head_dim"],
        **({"dual_attention_layers": dual} if dual else {}),
        **({"qk_norm": "rms_norm"} if normed else {}),
    }


def z_image(shapes: Shapes, template: Config) -> Config:
    """ZImageTransformer2DModel, in either layout."""
    width, text = shapes["cap_embedder.1.weight"]
    norm = next(name for name in shapes if re.search(r"attention\.(q_norm|norm_q)\.weight$", name))
    heads = width // shapes[norm][0]
    return {
        **template,
        "dim": width,
        "cap_feat_dim": text,
        "n_layers": blocks(shapes, "layers."),
        "n_refiner_layers": blocks(shapes, "noise_refiner."),
        "n_heads": heads,
        "n_kv_heads": heads,
    }


def qwen(shapes: Shapes, template: Config) -> Config:
    """QwenImageTransformer2DModel; both layouts are one."""
    width, channels = shapes["img_in.weight"]
    head = shapes["transformer_blocks.0.attn.norm_q.weight"][0]
    return {
        **template,
        "in_channels": channels,
        "joint_attention_dim": shapes["txt_in.weight"][1],
        "num_layers": blocks(shapes, "transformer_blocks."),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "axes_dims_rope": _axes(head),
    }


def blocks(shapes: Shapes, prefix: str) -> int:
    """How many blocks there are of which the names of tensors tell the numbers, from 0 on.

    Raises:
        ValueError: one is missing in between, or there are more than any model has.
    """
    start = len(prefix)
    heads = (name[start:].partition(".")[0] for name in shapes if name.startswith(prefix))
    numbers = {int(head) for head in heads if head.isascii() and head.isdigit() and len(head) < 6}
    if numbers != set(range(len(numbers))) or len(numbers) > MAX_BLOCKS:
        raise ValueError(f"the blocks {prefix}* are not numbered from 0 on")
    return len(numbers)


def _axes(head: int) -> list[int]:
    """How a head's channels are shared among frame, row and column: 1/8, 7/16 and 7/16."""
    side = head * 7 // 16
    return [head - 2 * side, side, side]
