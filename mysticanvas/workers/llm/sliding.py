"""Which layers of an architecture look back through a window only.

The patterns are those of llama.cpp (`load_arch_hparams` of each architecture): a file can name its
own, and most do not.
"""

from __future__ import annotations

from typing import NamedTuple

from mysticanvas.workers.model_files.gguf import Header


class Pattern(NamedTuple):
    """One layer in `period` sees all: the last of them, or the first."""

    period: int
    dense_first: bool = False
    window: int = 0
    """Tokens where the file names none; 0 for no sliding layers then."""
    fixed_window: int = 0
    """Tokens in place of what the file names."""


class Sliding(NamedTuple):
    """The sliding layers of a model."""

    window: int
    """Tokens; 0 if every layer sees all."""
    layers: tuple[bool, ...]


PATTERNS: dict[str, Pattern] = {
    "afmoe": Pattern(4),
    "cohere2": Pattern(4),
    "cohere2moe": Pattern(4, dense_first=True),
    "gemma2": Pattern(2, window=4096),
    "gemma3": Pattern(6),
    "gpt-oss": Pattern(2),
    "llama4": Pattern(4, window=8192, fixed_window=8192),
    "mellum": Pattern(4),
    "olmo2": Pattern(4),
    "plamo3": Pattern(8),
    "smallthinker": Pattern(4, dense_first=True, fixed_window=4096),
}
"""Architectures with sliding layers; for most of them, only if the file names a window."""
EVERYTHING_SEEN = frozenset(
    {
        "arcee", "baichuan", "bloom", "command-r", "dbrx", "deci", "deepseek", "ernie4_5", "falcon",
        "gemma", "glm4", "gpt2", "gptneox", "granite", "granitemoe", "internlm2", "llama",
        "minicpm", "mistral3", "mpt", "nemotron", "olmo", "olmoe", "orion", "phi2", "phi3",
        "qwen", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe",
        "seed_oss", "smollm3", "stablelm", "starcoder", "starcoder2", "xverse",
    }
)  # fmt: skip
"""Architectures whose layers all see everything. A window that their files name has no effect."""


def find(header: Header, architecture: str, layers: int) -> Sliding | None:
    """The sliding layers, or None if the architecture is not known here.

    Args:
        header: of the file.
        architecture: as the file names it.
        layers: how many there are.
    """
    everything = Sliding(0, (False,) * layers)
    if architecture in EVERYTHING_SEEN:
        return everything
    pattern = PATTERNS.get(architecture)
    if pattern is None:
        return None
    named = header.values.get(f"{architecture}.attention.sliding_window")
    window = named if isinstance(named, int) else pattern.window
    if window <= 0:
        return everything
    each = _layers(header, architecture, layers, pattern)
    return Sliding(pattern.fixed_window or window, each)


def _layers(header: Header, architecture: str, layers: int, pattern: Pattern) -> tuple[bool, ...]:
    key = f"{architecture}.attention.sliding_window_pattern"
    if (each := header.arrays.get(key)) is not None and len(each) == layers:
        return tuple(bool(value) for value in each)
    named = header.values.get(key)
    period = named if isinstance(named, int) else pattern.period
    if period == 0:
        return (True,) * layers
    dense = 0 if pattern.dense_first else period - 1
    return tuple(layer % period != dense for layer in range(layers))
