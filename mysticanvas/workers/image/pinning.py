"""Weights into memory of the system that a GPU reads by itself, and back out of it."""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator

import torch

from mysticanvas.vram import pinned

_allocate = functools.partial(torch.empty, dtype=torch.uint8, pin_memory=True)


def pin(model: torch.nn.Module, allocate: Callable[[int], torch.Tensor] = _allocate) -> None:
    """Have all weights in system memory lie in blocks of pinned memory, unless they are pinned.

    Args:
        allocate: gives so many bytes.
    """
    tensors = [each for each in _tensors(model) if not each.is_pinned()]
    sizes = [each.numel() * each.element_size() for each in tensors]
    for block in pinned.blocks(sizes):
        memory = allocate(block.size)
        for index, offset in block.places:
            tensor = tensors[index]
            strides = torch.empty_like(tensor, device="meta").stride()
            own = memory[offset : offset + sizes[index]].view(tensor.dtype)
            # What was there before is given back here, so never more than a block is there twice.
            tensor.data = own.as_strided(tensor.shape, strides).copy_(tensor)


def unpin(model: torch.nn.Module, release: Callable[[], None]) -> None:
    """Have all weights that are pinned lie in plain memory.

    Args:
        release: gives pinned memory back that nothing uses.
    """
    by_block = defaultdict(list)
    for each in _tensors(model):
        if each.is_pinned():
            by_block[each.untyped_storage().data_ptr()].append(each)
    for tensors in by_block.values():
        for each in tensors:
            each.data = each.detach().clone()
        release()


def _tensors(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Weights in system memory."""
    every = itertools.chain(model.parameters(), model.buffers())
    return (each for each in every if each.device.type == "cpu" and each.numel())
