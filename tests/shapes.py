"""Models and contexts that llama.cpp's own figures are compared on, by tests and by benchmarks."""

from __future__ import annotations

from typing import Any

from ggufs import Shape

from mysticanvas.contracts.llm import ContextParams

_SIZE: dict[str, Any] = {
    "layers": 6, "embedding": 256, "heads": 8, "kv_heads": 2, "feed_forward": 512,
    "vocabulary": 4000,
}  # fmt: skip


def _shape(architecture: str = "llama", **members: Any) -> Shape:
    return Shape(**{**_SIZE, "architecture": architecture, **members})


def _gemma(architecture: str, **members: Any) -> Shape:
    return _shape(architecture, tied=True, key_length=64, value_length=64, **members)


SHAPES: dict[str, tuple[Shape, ContextParams]] = {
    "every head its own": (_shape(kv_heads=8), ContextParams()),
    "grouped heads": (_shape(), ContextParams(n_ctx=8192)),
    "one head of keys": (_shape(kv_heads=1, tied=True), ContextParams(n_ctx=16384)),
    "odd n_ctx": (_shape(), ContextParams(n_ctx=3001)),
    "n_ctx of the model": (_shape(context=2000, weights="Q8_0"), ContextParams(n_ctx=0)),
    "n_ctx below a batch": (_shape(), ContextParams(n_ctx=100)),
    "small n_ubatch": (_shape(), ContextParams(n_ubatch=128)),
    "large n_ubatch": (_shape(), ContextParams(n_batch=2048, n_ubatch=2048)),
    "n_batch below n_ubatch": (_shape(), ContextParams(n_batch=64)),
    "without flash attention": (_shape(), ContextParams(flash_attn=False)),
    "q8_0 cache": (_shape(kv_heads=4), ContextParams(type_k="q8_0", type_v="q8_0")),
    "q4_0 cache, odd n_ctx": (
        _shape(kv_heads=4), ContextParams(n_ctx=5001, type_k="q4_0", type_v="q4_0"),
    ),
    "q8_0 keys alone": (
        _shape(kv_heads=4), ContextParams(type_k="q8_0", flash_attn=False),
    ),
    "f32 cache": (_shape(), ContextParams(type_k="f32", type_v="f32")),
    "long heads": (_shape(key_length=64, value_length=64), ContextParams()),
    "heads a layer": (_shape("deci", kv_heads=(8, 4, 2, 2, 4, 8)), ContextParams()),
    "heads a layer, without flash attention": (
        _shape("deci", kv_heads=(8, 4, 2, 2, 4, 8)), ContextParams(flash_attn=False),
    ),
    "gemma2, every other layer": (_gemma("gemma2", window=512), ContextParams(n_ctx=8192)),
    "gemma2, whole cache": (
        _gemma("gemma2", window=512), ContextParams(n_ctx=8192, swa_full=True),
    ),
    "gemma3, one of six sees all": (
        _gemma("gemma3", layers=7, window=1000), ContextParams(n_ctx=8001, n_ubatch=256),
    ),
    "gemma3, q8_0 cache": (
        _gemma("gemma3", window=512), ContextParams(type_k="q8_0", type_v="q8_0"),
    ),
    "gemma3, window beyond n_ctx": (_gemma("gemma3", window=4096), ContextParams(n_ctx=1024)),
    "gemma3, without a window": (_gemma("gemma3"), ContextParams()),
    "cohere2, one of four": (
        _shape("cohere2", tied=True, window=1024), ContextParams(n_ctx=6000),
    ),
    "olmo2, one of four": (_shape("olmo2", kv_heads=8, window=700), ContextParams(n_ctx=6000)),
    "qwen2": (_shape("qwen2"), ContextParams()),
    "qwen3, q4_0 weights": (_shape("qwen3", weights="Q4_0"), ContextParams()),
    "a window that llama ignores": (_shape(window=512), ContextParams(n_ctx=8192)),
}  # fmt: skip
"""A model and a context by what is special about them."""
