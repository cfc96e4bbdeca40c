"""Text encoders that are language models, and tokenizers, whose words are no matter here.

What ships with the product has neither (`data/architectures/README.md`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tokenizers
import transformers

CONFIGS: dict[str, dict[str, Any]] = {
    # Qwen3-4B.
    "z-image": {
        "model_type": "qwen3",
        "attention_bias": False,
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "max_position_embeddings": 40960,
        "num_attention_heads": 32,
        "num_hidden_layers": 36,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000,
        "tie_word_embeddings": True,
        "vocab_size": 151936,
    },
    # Qwen2.5-VL-7B-Instruct.
    "qwen-image": {
        "model_type": "qwen2_5_vl",
        "hidden_act": "silu",
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "max_position_embeddings": 128000,
        "num_attention_heads": 28,
        "num_hidden_layers": 28,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-06,
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
        "rope_theta": 1000000.0,
        "tie_word_embeddings": False,
        "vision_config": {
            "depth": 32,
            "fullatt_block_indexes": [7, 15, 23, 31],
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": 3584,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "tokens_per_second": 2,
            "window_size": 112,
        },
        "vocab_size": 152064,
    },
}
"""Model -> configuration of its text encoder, as its publisher has it."""
_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role + '\n' + m.content }}<|im_end|>{{ '\n' }}"
    "{% endfor %}{{ '<|im_start|>assistant\n' }}"
)
_OF_TEMPLATES = (
    "system", "user", "assistant", "Describe", "the", "image", "by", "detailing", "color", "shape",
    "size", "texture", "quantity", "text", "spatial", "relationships", "of", "objects", "and",
    "background",
)  # fmt: skip
_TOKEN = rf"<\|\w+\|>| ?\b(?:{'|'.join(_OF_TEMPLATES)})\b|[\s\S]"


def t5() -> Any:
    """A tokenizer that fills up as T5's does, and knows no word."""
    words = tokenizers.models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2}, unk_token="<unk>")
    return _fast(tokenizers.Tokenizer(words), eos_token="</s>", model_max_length=512)


def qwen() -> Any:
    """A tokenizer with the templates of Qwen's, in as many tokens. Of a prompt, each letter is one,
    which is as many as a plan takes it for."""
    made = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"<pad>": 0, "<unk>": 1}, unk_token="<unk>")
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex(_TOKEN), "isolated")
    tokenizer = _fast(made, padding_side="right")
    tokenizer.chat_template = _TEMPLATE
    return tokenizer


def _fast(tokenizer: Any, **more: Any) -> Any:
    made: Callable[..., Any] = transformers.PreTrainedTokenizerFast
    return made(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", **more)
