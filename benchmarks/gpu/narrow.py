"""Settings that make models small for a rehearsal, their structure kept. Pure."""

from __future__ import annotations

from typing import Any

_CLIP = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "projection_dim": 64,
}
_T5 = {"d_model": 64, "d_ff": 128, "d_kv": 32, "num_heads": 2, "num_layers": 2}
_QWEN = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    # Else the scores of all words would be the peak.
    "vocab_size": 1024,
}
_VAE = {"block_out_channels": [32, 32, 64, 64], "layers_per_block": 1}

NARROW: dict[str, dict[str, dict[str, Any]]] = {
    "sd15": {
        "text_encoder": _CLIP,
        "unet": {
            "block_out_channels": [32, 64, 64, 64],
            "layers_per_block": 1,
            "cross_attention_dim": 64,
        },
        "vae": _VAE,
    },
    "sdxl": {
        "text_encoder": _CLIP,
        "text_encoder_2": _CLIP,
        "unet": {
            "block_out_channels": [32, 64, 128],
            "layers_per_block": 1,
            "cross_attention_dim": 128,
            "attention_head_dim": [1, 1, 2],
            "transformer_layers_per_block": [1, 1, 2],
            "projection_class_embeddings_input_dim": 64 + 6 * 256,
        },
        "vae": _VAE,
    },
    "flux": {
        "text_encoder": _CLIP,
        "text_encoder_2": _T5,
        "transformer": {
            "attention_head_dim": 32,
            "axes_dims_rope": [8, 12, 12],
            "joint_attention_dim": 64,
            "num_attention_heads": 2,
            "num_layers": 2,
            "num_single_layers": 2,
            "pooled_projection_dim": 64,
        },
        "vae": _VAE,
    },
    "sd3": {
        "text_encoder": _CLIP,
        "text_encoder_2": _CLIP,
        # As wide as both CLIPs beside one another.
        "text_encoder_3": _T5 | {"d_model": 128},
        "transformer": {
            "attention_head_dim": 32,
            "caption_projection_dim": 64,
            "joint_attention_dim": 128,
            "num_attention_heads": 2,
            "num_layers": 2,
            "pooled_projection_dim": 128,
        },
        "vae": _VAE,
    },
    "z-image": {
        "text_encoder": _QWEN | {"head_dim": 32},
        "transformer": {
            "axes_dims": [8, 12, 12],
            "cap_feat_dim": 64,
            "dim": 64,
            "n_heads": 2,
            "n_kv_heads": 2,
            "n_layers": 2,
            "n_refiner_layers": 1,
        },
        "vae": _VAE,
    },
    "qwen-image": {
        "text_encoder": _QWEN
        | {
            "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]},
            "vision_config": {
                "depth": 1,
                "fullatt_block_indexes": [0],
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_heads": 2,
                "out_hidden_size": 64,
            },
        },
        "transformer": {
            "attention_head_dim": 32,
            "axes_dims_rope": [8, 12, 12],
            "joint_attention_dim": 64,
            "num_attention_heads": 2,
            "num_layers": 2,
        },
        "vae": {"base_dim": 16, "num_res_blocks": 1},
    },
}
"""Model -> component -> settings."""
