"""Which bytes live while operations make tensors and drop them, and what these tell of the memory
that an operation takes for itself."""

from __future__ import annotations

import functools
import math
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch._prims_common import suggest_memory_format

from mysticanvas.vram.envelope import Unfolded
from mysticanvas.vram.workspace import Convolution, Layout

CONVOLUTION = torch.ops.aten.convolution.default
_LAST = torch.channels_last
_SIDES_OF_PICTURES = 4

Note = Callable[[int, int], None]
"""Called with the number of a storage, and its bytes; negative when it dies."""


class Storages:
    """Follows storages from when they are first seen until they die. For one thread.

    Args:
        device: kind of the storages that count.
        note: hears of each.
    """

    def __init__(self, device: str, note: Note | None = None) -> None:
        self.live = 0
        """Bytes."""
        self._device = device
        self._note = note
        self._alive: dict[int, int] = {}
        self._count = 0
        self._finalizers: list[weakref.finalize[Any, Any]] = []

    def ignore(self, tensors: Iterable[torch.Tensor]) -> None:
        """Never count these, which have to outlive this object: weights."""
        self._alive.update((each.untyped_storage()._cdata, 0) for each in tensors)

    def ignores(self, tensor: torch.Tensor) -> bool:
        """Whether it is one of those, or a copy of one."""
        return self._alive.get(tensor.untyped_storage()._cdata) == 0

    def ignore_copy(self, tensor: torch.Tensor) -> None:
        """Do not count it as long as it is there."""
        storage = tensor.untyped_storage()
        address = storage._cdata
        if address not in self._alive:
            self._alive[address] = 0
            self._finalizers.append(weakref.finalize(storage, self._died, address, 0, 0))

    def follow(self, tensors: Iterable[torch.Tensor]) -> int:
        """Count those that are new; their bytes."""
        return sum(map(self._follow, tensors))

    def number(self) -> int:
        """One that no storage has."""
        self._count += 1
        return self._count

    def close(self) -> None:
        """Follow no more; what is still alive is somebody else's business."""
        for finalizer in self._finalizers:
            finalizer.detach()
        self._finalizers.clear()

    def _follow(self, tensor: torch.Tensor) -> int:
        storage = tensor.untyped_storage()
        address = storage._cdata
        size = storage.nbytes()
        if address in self._alive or not size or tensor.device.type != self._device:
            return 0
        number = self._alive[address] = self.number()
        self.live += size
        if self._note is not None:
            self._note(number, size)
        self._finalizers.append(weakref.finalize(storage, self._died, address, number, size))
        return size

    def _died(self, address: int, number: int, size: int) -> None:
        # The address may be another storage's by now.
        if self._alive.get(address) == number:
            del self._alive[address]
            self.live -= size
            if self._note is not None and size:
                self._note(number, -size)


def tensors_of(value: Any) -> Iterator[torch.Tensor]:
    """The tensors among arguments or results of an operation."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors_of(each)


def tables_of(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Tensors that modules keep beside weights and buffers, such as angles of positions."""
    for module in model.modules():
        for value in vars(module).values():
            yield from tensors_of(value)


def layout_of(tensor: torch.Tensor) -> Layout:
    """In which order the numbers of a tensor (batch, channels, …) are, as PyTorch takes it."""
    # The strides of a single item mean both; PyTorch then takes the channels to be first.
    if tensor.ndim == 4 and len(tensor) > 1 and suggest_memory_format(tensor) is _LAST:
        return "channels_last"
    return "channels_first" if tensor.is_contiguous() else "scattered"


def convolution(given: torch.Tensor, weight: torch.Tensor, made: torch.Tensor) -> Convolution:
    """What the workspace of a convolution depends on."""
    return Convolution(
        batch=given.shape[0],
        given=_bytes(given),
        weight=_bytes(weight),
        made=_bytes(made),
        channels=(given.shape[1], made.shape[1]),
        kernel=math.prod(weight.shape[2:]),
        layout=layout_of(given),
        block=_block(),
    )


@functools.cache
def _block() -> int:
    return 16 if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else 8


def unfolded(of: Convolution, given: torch.Tensor, made: torch.Tensor) -> Unfolded:
    """The other way of a convolution in float32 on a CPU, of a single item that is small."""
    columns = 0 if of.kernel == 1 else of.kernel * given.shape[1] * math.prod(made.shape[2:])
    return Unfolded(_looked_at(given), columns * given.element_size())


def _looked_at(given: torch.Tensor) -> int:
    """What PyTorch takes for the numbers of an input: it multiplies four sides, which of a film are
    all but the width. Height and width count alike here, or no envelope would have it."""
    if given.ndim <= _SIDES_OF_PICTURES:
        return given.numel()
    *others, height, width = given.shape
    return math.prod(others) * (height + width) // 2


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()
