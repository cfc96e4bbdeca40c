"""Memory that an operation takes for itself, beside its inputs and outputs.

No trace sees it, because libraries below PyTorch take it. These are rules, found by comparing
traces with allocators: those of CUDA hold within 1 % on published peaks of an RTX 4090, those of
the CPU are what PyTorch's profiler shows of oneDNN, operation by operation.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from mysticanvas.contracts.memory import DeviceKind
from mysticanvas.contracts.tracing import Dtype

Layout = Literal["channels_first", "channels_last", "scattered"]

_LONG, _MEDIUM = 768, 192
_KEYS_AT_ONCE = 512
_FLOAT32 = 4
UNFOLDED = 20_480
"""Up to so many numbers of a single item PyTorch does without oneDNN, and unfolds the input."""


class Convolution(NamedTuple):
    """A two-dimensional one; sizes in bytes."""

    batch: int
    given: int
    """Its input."""
    weight: int
    made: int
    """Its output."""
    channels: tuple[int, int]
    """Of the input and the output."""
    kernel: int
    """Pixels of it: 9 for three by three."""
    layout: Layout
    """Of the input."""
    block: int = 8
    """Channels that oneDNN keeps together on this CPU: as many as a register has numbers, 8 with
    AVX2 and 16 with AVX-512."""


def convolution(
    device: DeviceKind, dtype: Dtype, of: Convolution, copies_input: bool = True
) -> tuple[int, ...]:
    """Bytes that a convolution takes beside its input, weights and output, at the moments that can
    be its peak. Most of it is for copies of the three in another layout.

    Args:
        copies_input: whether that of CUDA in float32 copies its input as well: measured on an H200
            with cuDNN 9.19 it does, on published peaks of an RTX 4090 it does not.
    """
    if device == "cpu" and dtype == "float32":
        return _on_cpu(of)
    copy = of.given if of.layout == "scattered" else 0
    if device == "cuda" and of.layout == "channels_last":
        return (of.weight,)
    if device == "cuda" and dtype == "float32" and not copies_input:
        return (of.made + of.weight + copy,)
    # Half precision on tensor cores. No rule is known for the rest: this one is the largest.
    return (of.given + of.made + of.weight + copy,)


def _on_cpu(of: Convolution) -> tuple[int, ...]:
    if of.layout == "channels_last":
        return (of.weight * (1 if of.kernel == 1 else 2),)
    copy = of.given if of.layout == "scattered" else 0
    channels, made_channels = of.channels
    made = _blocked(of.made, made_channels, of.block)
    weight = _blocked(of.weight, made_channels, of.block)
    if channels < of.block:
        # It is read as it is.
        given = 0
    else:
        given = _blocked(of.given, channels, of.block)
        weight = _blocked(weight, channels, of.block)
    return copy + given + weight + made - of.made, copy + made


def _blocked(size: int, channels: int, block: int) -> int:
    """Bytes of a tensor whose channels are filled up to whole blocks."""
    return size // channels * (-(-channels // block) * block)


def flash_on_cpu(queries: int, keys: int, width: int, threads: int) -> int:
    """Bytes of the buffers of flash attention on a CPU, one block a thread.

    The sizes of a block are those of `FlashAttentionKernel.cpp` of PyTorch (BSD licence): scores of
    a block of queries and keys, maximum and sum of each query, and the output, in float32.

    Args:
        queries, keys: their numbers, for one head.
        width: numbers in the vector of a head.
        threads: that compute.
    """
    most = 256 if queries >= _LONG else 64 if queries >= _MEDIUM else 32
    rows, columns = min(most, queries), min(_KEYS_AT_ONCE, keys)
    return threads * rows * (columns + 2 + width) * _FLOAT32
