"""Memory of the system that a GPU reads by itself: how weights share allocations of it.

PyTorch rounds each allocation of such memory up to a power of two. One for each weight of a large
model would take 1.6 times as much as the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

BLOCK = 256 << 20
"""Bytes of an allocation: a power of two, with room for two of most models' largest weights."""
_ALIGNMENT = 512
_SHARE = 32
"""Of so many bytes one is lost to gaps at most, beside what the blocks round up."""


class Place(NamedTuple):
    """Where something lies in a block."""

    which: int
    """Of the sizes that were given, by its place among them."""
    offset: int


class Block(NamedTuple):
    size: int
    places: tuple[Place, ...]


def blocks(sizes: Sequence[int]) -> list[Block]:
    """Blocks that hold things of these sizes, none of them across two. Large ones come first, each
    into the first block with room; what is larger than a block has one of its own."""
    ends: list[int] = []
    places: list[list[Place]] = []
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        size = -(-sizes[index] // _ALIGNMENT) * _ALIGNMENT
        fits = (number for number, end in enumerate(ends) if end + size <= BLOCK)
        number = next(fits, len(ends))
        if number == len(ends):
            ends.append(0)
            places.append([])
        places[number].append(Place(index, ends[number]))
        ends[number] += size
    return [Block(end, tuple(each)) for end, each in zip(ends, places, strict=True)]


def allocated(size: int) -> int:
    """Bytes that PyTorch takes for so many.

    Source: `CachingHostAllocatorImpl::allocate` of its `CachingHostAllocator.h`.
    """
    return 1 << (size - 1).bit_length() if size else 0


def slack(size: int) -> int:
    """Bytes at most that weights of so many bytes take more in blocks: gaps, the last block's
    rounding, and the block whose weights are still where they were."""
    return size // _SHARE + 2 * BLOCK if size else 0
