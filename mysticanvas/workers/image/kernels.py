"""Functions that do something else on the device that a trace stands for than on `meta`.

Attention is computed as the whole matrix on `meta`, since that needs no kernel; a device does so
only where it has to. Group normalisation puts the channels first, except on a CPU.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from mysticanvas.contracts.memory import DeviceKind
from mysticanvas.contracts.tracing import Attention
from mysticanvas.vram.envelope import Attending
from mysticanvas.workers.image.storages import layout_of
from mysticanvas.workers.image.tracing import Memory

_WIDEST_FLASH = 256
"""Numbers in the vector of a head that flash attention for CUDA takes."""
_WIDEST_REGISTERS = 128
"""Above, the memory-efficient kernel adds up in a buffer."""
_NAMES = ("query", "key", "value", "attn_mask")


class KernelsOf(TorchFunctionMode):
    """Replaces functions by the allocations of a device's kernels."""

    def __init__(self, device: DeviceKind, wanted: Attention, memory: Memory) -> None:
        super().__init__()
        self._device = device
        self._wanted = wanted
        self._memory = memory

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.group_norm and self._device == "cpu":
            return _group_norm_on_cpu(*args, **kwargs)
        if func is functional.scaled_dot_product_attention and self._wanted != "math":
            return self._attention(args, kwargs)
        return func(*args, **kwargs)

    def _attention(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        given = dict(zip(_NAMES, args, strict=False)) | kwargs
        query, key, value = given["query"], given["key"], given["value"]
        mask = given.get("attn_mask")
        if mask is not None and mask.dtype == torch.bool:
            # As numbers, which are added to the scores.
            mask = query.new_empty(mask.shape)
        made = self._output(query, value)
        if self._device == "cpu":
            self._flash(query, key)
        elif self._is_flash(query, mask):
            self._flash(query)
        else:
            self._efficient(query, value)
        return made

    def _is_flash(self, query: torch.Tensor, mask: Any) -> bool:
        return (
            self._wanted == "flash"
            and query.dtype != torch.float32
            and query.shape[-1] <= _WIDEST_FLASH
            and mask is None
        )

    @staticmethod
    def _output(query: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        batch, heads, queries, _ = query.shape
        return query.new_empty((batch, queries, heads, value.shape[-1])).transpose(1, 2)

    def _flash(self, query: torch.Tensor, key: torch.Tensor | None = None) -> None:
        """The logarithm of each query's sum, kept for a backward pass that never comes."""
        sums = query.new_empty(query.shape[:-1], dtype=torch.float32)
        if key is not None:
            self._memory.attended(Attending(query.shape[-2], key.shape[-2], query.shape[-1]))
        del sums

    @staticmethod
    def _efficient(query: torch.Tensor, value: torch.Tensor) -> None:
        if value.shape[-1] > _WIDEST_REGISTERS and query.dtype != torch.float32:
            shape = (*query.shape[:-1], value.shape[-1])
            query.new_empty(shape, dtype=torch.float32)


def _group_norm_on_cpu(
    given: torch.Tensor,
    num_groups: int,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    eps: float = 1e-5,
) -> torch.Tensor:
    batch, channels, *sides = given.shape
    if layout_of(given) == "channels_last":
        given = given.contiguous(memory_format=torch.channels_last)
    else:
        given = given.contiguous()
    size = math.prod(sides)
    return torch.native_group_norm(given, weight, bias, batch, channels, size, num_groups, eps)[0]
