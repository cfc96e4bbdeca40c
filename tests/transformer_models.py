"""Builds tiny diffusers folders of diffusion transformers: random weights, real pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from models import tokenizer as clip_tokenizer
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

TEXT_WIDTH = 32
_CHAT = "{% for m in messages %}{{ m.content }}{% endfor %}"
_QWEN = {
    "vocab_size": 300,
    "hidden_size": TEXT_WIDTH,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}


def make_sd3(folder: Path) -> Path:
    """A Stable Diffusion 3 folder, with two CLIPs and a T5."""
    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(
        sample_size=8,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=2 * TEXT_WIDTH,
        caption_projection_dim=32,
        pooled_projection_dim=2 * TEXT_WIDTH,
        pos_embed_max_size=64,
    )
    pipeline = StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(),
        text_encoder=CLIPTextModelWithProjection(_clip()),
        tokenizer=clip_tokenizer(folder / "tokenizer"),
        text_encoder_2=CLIPTextModelWithProjection(_clip()),
        tokenizer_2=clip_tokenizer(folder / "tokenizer_2"),
        text_encoder_3=_t5(2 * TEXT_WIDTH),
        tokenizer_3=t5_tokenizer(),
    )
    pipeline.save_pretrained(folder)
    return folder


def make_flux(folder: Path) -> Path:
    """A Flux folder, with a CLIP and a T5."""
    torch.manual_seed(0)
    pipeline = FluxPipeline(
        transformer=flux_transformer(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=_vae(),
        text_encoder=CLIPTextModel(_clip()),
        tokenizer=clip_tokenizer(folder / "tokenizer"),
        text_encoder_2=_t5(TEXT_WIDTH),
        tokenizer_2=t5_tokenizer(),
    )
    pipeline.save_pretrained(folder)
    return folder


def flux_transformer() -> FluxTransformer2DModel:
    """Two blocks of each kind."""
    return FluxTransformer2DModel(
        in_channels=64,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=32,
        num_attention_heads=2,
        joint_attention_dim=TEXT_WIDTH,
        pooled_projection_dim=TEXT_WIDTH,
        guidance_embeds=True,
        axes_dims_rope=(4, 14, 14),
    )


def make_z_image(folder: Path) -> Path:
    """A Z-Image folder, whose text encoder is a language model."""
    torch.manual_seed(0)
    transformer = ZImageTransformer2DModel(
        dim=64,
        n_heads=2,
        n_kv_heads=2,
        n_layers=2,
        n_refiner_layers=1,
        cap_feat_dim=TEXT_WIDTH,
        axes_dims=[8, 12, 12],
        axes_lens=[1536, 64, 64],
    )
    pipeline = ZImagePipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(),
        text_encoder=Qwen3Model(Qwen3Config(**_QWEN, head_dim=16)),
        tokenizer=_qwen_tokenizer(),
    )
    pipeline.save_pretrained(folder)
    return folder


def make_qwen_image(folder: Path) -> Path:
    """A Qwen-Image folder, whose text encoder sees, too."""
    torch.manual_seed(0)
    transformer = QwenImageTransformer2DModel(
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=TEXT_WIDTH,
        axes_dims_rope=(4, 6, 6),
    )
    sees = {
        "depth": 1,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": TEXT_WIDTH,
        "fullatt_block_indexes": [0],
    }
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1000000.0}
    language = Qwen2_5_VLConfig(text_config={**_QWEN, "rope_parameters": rope}, vision_config=sees)
    pipeline = QwenImagePipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=AutoencoderKLQwenImage(base_dim=8, z_dim=16, dim_mult=[1, 2, 2, 2], num_res_blocks=1),
        text_encoder=Qwen2_5_VLForConditionalGeneration(language),
        tokenizer=_qwen_tokenizer(),
    )
    pipeline.save_pretrained(folder)
    return folder


def t5_tokenizer() -> T5TokenizerFast:
    """Single characters as tokens."""
    letters = [chr(code) for code in range(33, 127)]
    pieces = ["<pad>", "</s>", "<unk>", "▁", *letters]
    return T5TokenizerFast(vocab=[(piece, -float(n)) for n, piece in enumerate(pieces)])


def _qwen_tokenizer() -> Qwen2Tokenizer:
    """Single bytes as tokens."""
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Qwen2Tokenizer(vocab={word: n for n, word in enumerate(words)}, merges=[])
    tokenizer.chat_template = _CHAT
    return tokenizer


def _clip() -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=514,
        hidden_size=TEXT_WIDTH,
        intermediate_size=32,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
    )


def _t5(width: int) -> T5EncoderModel:
    config = T5Config(
        vocab_size=128,
        d_model=width,
        d_kv=16,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
    )
    return T5EncoderModel(config)


def _vae(**more: Any) -> AutoencoderKL:
    """A decoder by a factor of 8 from 16 channels."""
    return AutoencoderKL(
        sample_size=64,
        block_out_channels=(8, 8, 8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=16,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        **more,
    )


MAKERS = {
    "StableDiffusion3Pipeline": make_sd3,
    "FluxPipeline": make_flux,
    "QwenImagePipeline": make_qwen_image,
    "ZImagePipeline": make_z_image,
}
"""Class of diffusers -> what builds a folder of it."""
