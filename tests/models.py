"""Builds tiny diffusers folders with random weights: real pipelines that run in milliseconds.

They draw noise, but by the same code, files and settings as a checkpoint of gigabytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

TEXT_WIDTH = 16
_END = "<|endoftext|>"
_VOCABULARY = 2 * 256 + 2
_NOISE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}


def make_sd(folder: Path, *, size: int = 64, seed: int = 0, width: int = 16) -> Path:
    """A Stable Diffusion folder whose pictures are `size` pixels wide and high by default.

    Args:
        width: channels of the UNet's inner block, to the square of which its weights grow.
    """
    torch.manual_seed(seed)
    pipeline = StableDiffusionPipeline(
        vae=_vae(size),
        text_encoder=CLIPTextModel(_text_config()),
        tokenizer=tokenizer(folder / "tokenizer"),
        unet=_unet(size, TEXT_WIDTH, width),
        scheduler=DDIMScheduler(**_NOISE, clip_sample=False, set_alpha_to_one=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def make_sdxl(folder: Path, *, size: int = 64, seed: int = 0) -> Path:
    """A Stable Diffusion XL folder, with two text encoders and a VAE that wants float32."""
    torch.manual_seed(seed)
    added = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": TEXT_WIDTH + 6 * 8,
    }
    pipeline = StableDiffusionXLPipeline(
        vae=_vae(size, force_upcast=True),
        text_encoder=CLIPTextModel(_text_config()),
        text_encoder_2=CLIPTextModelWithProjection(_text_config()),
        tokenizer=tokenizer(folder / "tokenizer"),
        tokenizer_2=tokenizer(folder / "tokenizer_2"),
        unet=_unet(size, 2 * TEXT_WIDTH, 16, **added),
        scheduler=EulerDiscreteScheduler(**_NOISE),
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def tokenizer(folder: Path) -> CLIPTokenizer:
    """Single bytes as tokens, each with a form for the end of a word, as CLIP's files have it."""
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", _END]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": _END}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return CLIPTokenizer.from_pretrained(folder)


def _text_config() -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=_VOCABULARY,
        hidden_size=TEXT_WIDTH,
        intermediate_size=32,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=_VOCABULARY - 2,
        eos_token_id=_VOCABULARY - 1,
        pad_token_id=_VOCABULARY - 1,
        initializer_factor=4.0,
    )


def _unet(size: int, text_width: int, width: int, **more: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=size // 4,
        block_out_channels=(8, width),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=text_width,
        attention_head_dim=8,
        **more,
    )


def _vae(size: int, **more: Any) -> AutoencoderKL:
    """A decoder by a factor of 4."""
    return AutoencoderKL(
        sample_size=size,
        block_out_channels=(8, 8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        **more,
    )
