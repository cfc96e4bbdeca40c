"""The caching allocator of PyTorch for CUDA, played on the events of a trace.

What the device misses is what the allocator has reserved, and that is up to twice of what it has
given out: a cached block that is too small for anything is of no use. The rules and sizes are those
of `CUDACachingAllocator.cpp` of PyTorch (BSD licence) with its default settings.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from typing import NamedTuple

_MIB = 1 << 20
_SMALL = _MIB
"""Largest size of the small pool, and what a large block may be too large without being split."""
_SMALL_SEGMENT = 2 * _MIB
_LARGE_SEGMENT = 20 * _MIB
_OWN_SEGMENT = 10 * _MIB
"""From this size on a block gets a segment of its own."""
_GRAIN = 2 * _MIB
_SPLIT = 512


class Event(NamedTuple):
    """Memory taken, or given back."""

    number: int
    """Of the block, the same in both events."""
    size: int
    """Bytes, a multiple of 512; negative if it is given back."""


class Usage(NamedTuple):
    """Peaks in bytes."""

    allocated: int
    reserved: int


class _Block:
    __slots__ = ("address", "after", "before", "free", "size", "small")

    def __init__(self, address: int, size: int, small: bool) -> None:
        self.address, self.size, self.small = address, size, small
        self.free = False
        self.before: _Block | None = None
        self.after: _Block | None = None


class _Allocator:
    """Segments, cut into blocks; free blocks in order of size and address."""

    def __init__(self) -> None:
        self.allocated = self.reserved = 0
        self._end = 0
        self._free: dict[bool, list[tuple[int, int, _Block]]] = {True: [], False: []}

    def take(self, size: int) -> _Block:
        block = self._cached(size) or self._segment(size)
        rest = block.size - size
        if rest >= _SPLIT if block.small else rest > _SMALL:
            self._split(block, size)
        self.allocated += block.size
        return block

    def give(self, block: _Block) -> None:
        self.allocated -= block.size
        if block.after is not None and block.after.free:
            self._forget(block.after)
            self._absorb(block, block.after)
        if block.before is not None and block.before.free:
            earlier = block.before
            self._forget(earlier)
            self._absorb(earlier, block)
            block = earlier
        self._keep(block)

    def _cached(self, size: int) -> _Block | None:
        """The smallest free block that is large enough."""
        free = self._free[size <= _SMALL]
        place = bisect.bisect_left(free, (size, -1))
        if place == len(free):
            return None
        block = free[place][2]
        self._forget(block)
        return block

    def _segment(self, size: int) -> _Block:
        small = size <= _SMALL
        if small:
            length = _SMALL_SEGMENT
        elif size < _OWN_SEGMENT:
            length = _LARGE_SEGMENT
        else:
            length = -(-size // _GRAIN) * _GRAIN
        self.reserved += length
        self._end += length
        return _Block(self._end - length, length, small)

    def _split(self, block: _Block, size: int) -> None:
        rest = _Block(block.address + size, block.size - size, block.small)
        rest.before, rest.after = block, block.after
        if block.after is not None:
            block.after.before = rest
        block.after, block.size = rest, size
        self._keep(rest)

    @staticmethod
    def _absorb(block: _Block, after: _Block) -> None:
        block.size += after.size
        block.after = after.after
        if after.after is not None:
            after.after.before = block

    def _keep(self, block: _Block) -> None:
        block.free = True
        bisect.insort(self._free[block.small], (block.size, block.address, block))

    def _forget(self, block: _Block) -> None:
        block.free = False
        free = self._free[block.small]
        free.pop(bisect.bisect_left(free, (block.size, block.address)))


def simulate(events: Iterable[Event]) -> Usage:
    """Peaks of what is given out and of what is reserved, from an empty cache."""
    allocator = _Allocator()
    held: dict[int, _Block] = {}
    allocated = 0
    for event in events:
        if event.size > 0:
            held[event.number] = allocator.take(event.size)
            allocated = max(allocated, allocator.allocated)
        else:
            allocator.give(held.pop(event.number))
    return Usage(allocated, allocator.reserved)
