"""Writes GGUF files of tiny language models with random weights, as the converters of llama.cpp do.

They say nothing of sense, but in the layout, with the metadata and through the code of models of
gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gguf import (
    GGML_QUANT_SIZES,
    GGMLQuantizationType,
    GGUFValueType,
    GGUFWriter,
    TokenType,
    quants,
)

_BYTES = 256
_END = "<|endoftext|>"


class Shape(NamedTuple):
    """What the header of a model says."""

    architecture: str = "llama"
    layers: int = 2
    embedding: int = 64
    heads: int = 4
    kv_heads: int | tuple[int, ...] = 2
    key_length: int | None = None
    value_length: int | None = None
    feed_forward: int = 128
    vocabulary: int = 512
    context: int = 4096
    window: int | None = None
    tied: bool = False
    """Whether the output has the weights of the input."""
    weights: str = "F16"
    """How matrices are stored, as gguf calls it."""
    template: str | None = None
    """Of chats."""
    extra: tuple[tuple[str, Any, GGUFValueType | None], ...] = ()
    """Further members of the metadata, without the architecture's name, and their types; None for
    the usual one. One that is there already is replaced."""


def make_llm(path: Path, shape: Shape | None = None, seed: int = 0) -> Path:
    """Write a model; a `llama` by default."""
    shape = shape or Shape()
    writer = GGUFWriter(path, shape.architecture)
    _add_metadata(writer, shape)
    _add_tokenizer(writer, shape.vocabulary)
    random = np.random.default_rng(seed)
    for name, dimensions in _tensors(shape):
        data = random.standard_normal(dimensions, dtype=np.float32) * 0.05
        _add_tensor(writer, name, data, shape.weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_metadata(writer: GGUFWriter, shape: Shape) -> None:
    head = shape.embedding // shape.heads
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.embedding)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    kv = shape.kv_heads
    writer.add_head_count_kv(kv if isinstance(kv, int) else list(kv))
    if shape.key_length is not None:
        writer.add_key_length(shape.key_length)
    if shape.value_length is not None:
        writer.add_value_length(shape.value_length)
    writer.add_rope_dimension_count(shape.key_length or head)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_layer_norm_eps(1e-5)
    if shape.window is not None:
        writer.add_sliding_window(shape.window)
    if shape.architecture == "cohere2":
        writer.add_logit_scale(0.25)
    if shape.template is not None:
        writer.add_chat_template(shape.template)
    for name, value, kind in shape.extra:
        key = f"{shape.architecture}.{name}"
        writer.kv_data[0].pop(key, None)
        writer.add_key_value(key, value, kind or GGUFValueType.UINT32)


def _add_tokenizer(writer: GGUFWriter, vocabulary: int) -> None:
    """Byte-level BPE with a merge, and tokens that stand for nothing up to the wanted number."""
    alphabet = _byte_alphabet()
    tokens = [*alphabet, alphabet[ord("a")] + alphabet[ord("b")], _END]
    kinds = [TokenType.NORMAL] * (len(tokens) - 1) + [TokenType.CONTROL]
    spare = [f"<spare_{index}>" for index in range(vocabulary - len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*tokens, *spare])
    writer.add_token_types([*kinds, *([TokenType.UNUSED] * len(spare))])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(len(tokens) - 1)
    writer.add_eos_token_id(len(tokens) - 1)
    writer.add_add_bos_token(False)


def _byte_alphabet() -> list[str]:
    """A printable character for each byte, as GPT-2 has it."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(_BYTES, 2 * _BYTES))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(_BYTES)]


def _add_tensor(writer: GGUFWriter, name: str, data: Any, weights: str) -> None:
    if data.ndim == 1:
        writer.add_tensor(name, data)
        return
    kind = GGMLQuantizationType[weights]
    writer.add_tensor(name, quants.quantize(data, kind), raw_dtype=kind)


def _tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and dimensions, that of a row last."""
    width = shape.embedding
    yield "token_embd.weight", (shape.vocabulary, width)
    yield "output_norm.weight", (width,)
    if not shape.tied:
        yield "output.weight", (shape.vocabulary, width)
    for layer in range(shape.layers):
        for name, dimensions in _of_layer(shape, layer):
            yield f"blk.{layer}.{name}", dimensions


def _of_layer(shape: Shape, layer: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, inner = shape.embedding, shape.feed_forward
    head = width // shape.heads
    key, value = shape.key_length or head, shape.value_length or head
    kv = shape.kv_heads if isinstance(shape.kv_heads, int) else shape.kv_heads[layer]
    if shape.architecture != "olmo2":
        yield "attn_norm.weight", (width,)
    yield "attn_q.weight", (shape.heads * key, width)
    yield "attn_k.weight", (kv * key, width)
    yield "attn_v.weight", (kv * value, width)
    yield "attn_output.weight", (width, shape.heads * value)
    match shape.architecture:
        case "qwen2":
            yield "attn_q.bias", (shape.heads * key,)
            yield "attn_k.bias", (kv * key,)
            yield "attn_v.bias", (kv * value,)
        case "qwen3" | "gemma3":
            yield "attn_q_norm.weight", (key,)
            yield "attn_k_norm.weight", (key,)
        case "olmo2":
            yield "attn_q_norm.weight", (shape.heads * key,)
            yield "attn_k_norm.weight", (kv * key,)
    if shape.architecture in ("gemma2", "gemma3", "olmo2"):
        yield "post_attention_norm.weight", (width,)
        yield "post_ffw_norm.weight", (width,)
    if shape.architecture not in ("cohere2", "olmo2"):
        yield "ffn_norm.weight", (width,)
    yield "ffn_gate.weight", (inner, width)
    yield "ffn_up.weight", (inner, width)
    yield "ffn_down.weight", (width, inner)


def make_projector(path: Path, numbers: int = 1024) -> Path:
    """Write a file that says that a language model sees with it; nothing could."""
    writer = GGUFWriter(path, "clip")
    writer.add_tensor("mm.0.weight", np.zeros((numbers // 32, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_tensors(path: Path, tensors: Mapping[str, Any], weights: str) -> Path:
    """A file of nothing but tensors, as those of image models are.

    Args:
        tensors: of PyTorch. Those of one dimension stay in float32, as do rows of no whole blocks.
        weights: as in a `Shape`.
    """
    writer = GGUFWriter(path, "flux")
    block = GGML_QUANT_SIZES[GGMLQuantizationType[weights]][0]
    for name, tensor in tensors.items():
        data = tensor.detach().float().numpy()
        plain = data.ndim != 2 or data.shape[-1] % block
        _add_tensor(writer, name, data, "F32" if plain else weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
