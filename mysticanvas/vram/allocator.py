"""The caching allocator of PyTorch for CUDA, played on the events of a trace.

What the device misses is what the allocator has reserved, and that is up to twice of what it has
given out: a cached block that is too small for anything is of no use. With segments that grow it is
less, and still more than what was given out, since what is free lies between what is not. The rules
and sizes are those of `CUDACachingAllocator.cpp` of PyTorch (BSD licence), by its default settings
or with `expandable_segments:True`.
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
        if self._is_enough_to_split(block.small, rest):
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
        block = free[self._choose(free, place)][2]
        self._forget(block)
        return block

    def _is_enough_to_split(self, small: bool, rest: int) -> bool:
        return rest >= _SPLIT if small else rest > _SMALL

    def _choose(self, free: list[tuple[int, int, _Block]], place: int) -> int:  # noqa: ARG002
        """Which of the free blocks, from the smallest that is large enough on."""
        return place

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

    def _absorb(self, block: _Block, after: _Block) -> None:
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


class _Growing(_Allocator):
    """Has one segment for each pool, which grows at its end."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[bool, _Block | None] = {True: None, False: None}

    def _is_enough_to_split(self, small: bool, rest: int) -> bool:  # noqa: ARG002
        return rest >= _SPLIT

    def _choose(self, free: list[tuple[int, int, _Block]], place: int) -> int:
        # The last block counts as large as it could become.
        is_last = free[place][2] is self._last[free[place][2].small]
        return place + 1 if is_last and place + 1 < len(free) else place

    def _segment(self, size: int) -> _Block:
        small = size <= _SMALL
        grain = _SMALL_SEGMENT if small else _LARGE_SEGMENT
        last = self._last[small]
        if last is not None and last.free:
            self._forget(last)
            grown = -(-(size - last.size) // grain) * grain
            last.size += grown
            self.reserved += grown
            return last
        grown = -(-size // grain) * grain
        self.reserved += grown
        # Far apart, since the pools have segments of their own.
        address = (0 if small else 1 << 50) if last is None else last.address + last.size
        block = _Block(address, grown, small)
        block.before = last
        if last is not None:
            last.after = block
        self._last[small] = block
        return block

    def _split(self, block: _Block, size: int) -> None:
        super()._split(block, size)
        if block is self._last[block.small]:
            self._last[block.small] = block.after

    def _absorb(self, block: _Block, after: _Block) -> None:
        super()._absorb(block, after)
        if after is self._last[after.small]:
            self._last[after.small] = block


def simulate(events: Iterable[Event], growing: bool = False) -> Usage:
    """Peaks of what is given out and of what is reserved, from an empty cache.

    Args:
        growing: whether segments grow, as workers have it.
    """
    allocator = _Growing() if growing else _Allocator()
    held: dict[int, _Block] = {}
    allocated = 0
    for event in events:
        if event.size > 0:
            held[event.number] = allocator.take(event.size)
            allocated = max(allocated, allocator.allocated)
        else:
            allocator.give(held.pop(event.number))
    return Usage(allocated, allocator.reserved)
