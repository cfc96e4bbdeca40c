"""Runs a model without numbers, and follows the memory that it would take.

Tensors on PyTorch's `meta` device have shapes and storages but no bytes, so the real code of a
model runs in a fraction of a second whatever its size, and a storage that dies says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mysticanvas.contracts.memory import DeviceKind
from mysticanvas.contracts.tracing import Dtype
from mysticanvas.vram import workspace
from mysticanvas.vram.allocator import Event
from mysticanvas.vram.envelope import Attending, Operation, Unfolded
from mysticanvas.workers.image import storages
from mysticanvas.workers.image.storages import CONVOLUTION, Storages, tensors_of

_GRAIN = 512
"""The allocator of CUDA gives out multiples of so many bytes."""
_LAST = torch.channels_last
_FORMATTING = {
    torch.ops.aten.native_group_norm.default,
    torch.ops.aten.upsample_nearest2d.default,
    torch.ops.aten.upsample_nearest2d.vec,
}
"""Operations that put the channels of what they make where those of the input are."""


class Memory(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch's is
    """Follows storages from operation to operation."""

    def __init__(self, device: DeviceKind, dtype: Dtype, copies_input: bool = True) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self.events: list[Event] = []
        self.storages = Storages("meta", self._note)
        self._device: DeviceKind = device
        self._dtype: Dtype = dtype
        self._copies_input = copies_input
        self._memo: dict[Any, list[_Blank]] = {}
        self._recording = True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is CONVOLUTION:
            return self._convolve(func, args)
        out = self._run(func, args, kwargs or {})
        if func in _FORMATTING:
            out = _formatted(out, storages.layout_of(args[0]))
        self.storages.follow(tensors_of(out))
        if self._recording:
            self.operations.append(Operation(self.storages.live))
        return out

    @contextmanager
    def only_in(self, modules: Sequence[torch.nn.Module]) -> Iterator[None]:
        """Have the operations of these modules alone among `operations`, one at a time at work;
        without any, all."""

        def switch(*_: Any) -> None:
            self._recording = not self._recording

        hooks = [
            *(each.register_forward_pre_hook(switch) for each in modules),
            *(each.register_forward_hook(switch) for each in modules),
        ]
        self._recording = not modules
        try:
            yield
        finally:
            self._recording = True
            for hook in hooks:
                hook.remove()

    def _convolve(self, func: Any, args: tuple[Any, ...]) -> Any:
        given, weight = args[0], args[1]
        out = self._run(func, args, {})
        out = _formatted(out, storages.layout_of(given))
        self.storages.follow([out])
        of = storages.convolution(given, weight, out)
        unfolded = self._unfolded(of, given, out)
        for taken in workspace.convolution(self._device, self._dtype, of, self._copies_input):
            self._passing(taken)
            self.operations.append(Operation(self.storages.live, taken, unfolded=unfolded))
        return out

    def _unfolded(
        self, of: workspace.Convolution, given: torch.Tensor, out: torch.Tensor
    ) -> Unfolded | None:
        if of.batch > 1 or self._device != "cpu" or self._dtype != "float32":
            return None
        return storages.unfolded(of, given, out)

    def attended(self, attending: Attending) -> None:
        """Note that the operation just recorded was flash attention on a CPU."""
        self.operations[-1] = self.operations[-1]._replace(attending=attending)

    def _run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run it, or make up what the same operation made before: on `meta`, working out a shape
        takes most of the time, and a network repeats itself."""
        key = (func, _described(args), _described(tuple(kwargs.items())))
        blanks = self._memo.get(key)
        if blanks is not None:
            made = [blank.make() for blank in blanks]
            return made[0] if len(made) == 1 else tuple(made)
        out = func(*args, **kwargs)
        if _is_repeatable(func, args, kwargs, out):
            self._memo[key] = [_Blank.of(tensor) for tensor in tensors_of(out)]
        return out

    def _note(self, number: int, change: int) -> None:
        size = _rounded(abs(change))
        self.events.append(Event(number, size if change > 0 else -size))

    def _passing(self, size: int) -> None:
        number, size = self.storages.number(), _rounded(size)
        self.events += [Event(number, size), Event(number, -size)]


class _Blank(NamedTuple):
    """A tensor that can be made again."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: torch.Tensor) -> _Blank:
        return cls(tuple(tensor.shape), tensor.stride(), tensor.dtype)

    def make(self) -> torch.Tensor:
        return torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device="meta")


@contextmanager
def following(
    device: DeviceKind, dtype: Dtype, model: torch.nn.Module, copies_input: bool = True
) -> Iterator[Memory]:
    """Follow what is allocated within the context; the weights of the model do not count.

    Args:
        copies_input: as for `vram.workspace.convolution`.
    """
    memory = Memory(device, dtype, copies_input)
    memory.storages.ignore([*model.parameters(), *model.buffers()])
    if device == "cpu":
        # Elsewhere they are moved there when they are first used.
        memory.storages.ignore(storages.tables_of(model))
    try:
        # Not inference mode, in which composite operations come in whole.
        with torch.no_grad(), memory:
            yield memory
    finally:
        memory.storages.close()


def _is_repeatable(func: Any, args: Any, kwargs: Any, out: Any) -> bool:
    """Whether it makes new tensors and nothing else."""
    if func._schema.is_mutable or not isinstance(out, torch.Tensor | tuple):
        return False
    made = list(tensors_of(out))
    if len(made) != (len(out) if isinstance(out, tuple) else 1):
        return False
    # Some that the schema calls new are not, such as `_unsafe_view`.
    storages = {
        each.untyped_storage()._cdata for each in tensors_of((args, tuple(kwargs.values())))
    }
    return all(
        each.device.type == "meta"
        and each.untyped_storage()._cdata not in storages
        and each.storage_offset() == 0
        for each in made
    )


def _formatted(made: Any, layout: workspace.Layout) -> Any:
    """What an operation made, in the order in which devices make it: `meta` takes other ways."""
    if isinstance(made, tuple):
        return (_formatted(made[0], layout), *made[1:])
    wanted = _LAST if layout == "channels_last" else torch.contiguous_format
    if made.is_contiguous(memory_format=wanted):
        return made
    return torch.empty_like(made, memory_format=wanted)


def _described(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.stride(), value.dtype, value.device.type
    if isinstance(value, list | tuple):
        return tuple(map(_described, value))
    # 1, 1.0 and True are equal, but make different dtypes.
    return type(value), value


def _rounded(size: int) -> int:
    return -(-size // _GRAIN) * _GRAIN
