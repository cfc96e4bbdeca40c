"""Follows the memory of real tensors on a CPU, where nothing else tells what is taken of it.

What lives is seen exactly, operation by operation; what an operation takes for itself is not, and
is added by the rules that predictions have.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mysticanvas.contracts.tracing import Dtype
from mysticanvas.vram import workspace
from mysticanvas.workers.image import storages
from mysticanvas.workers.image.storages import CONVOLUTION, Storages, tensors_of

_FLASH = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
_COPY = torch.ops.aten._to_copy.default
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd


class Footprint(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch's is
    """The most that tensors take while it is entered, in bytes.

    Operations run as they would without it, so what they compute is the same. A tensor that was
    there before counts from the beginning, once an operation reads it.

    Args:
        dtype: that the model runs in.
        weights: tensors that do not count.
        threads: that compute.
    """

    def __init__(self, dtype: Dtype, weights: Iterable[torch.Tensor], threads: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._dtype = dtype
        self._threads = threads
        self._storages = Storages("cpu")
        self._storages.ignore(weights)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        # In inference mode these come in whole, and would hide what they make on the way.
        if _is_composite(func):
            with self:
                return func._op_dk(_COMPOSITE, *args, **kwargs)
        self.hold(tensors_of((*args, *kwargs.values())))
        out = func(*args, **kwargs)
        if func is _COPY and self._storages.ignores(args[0]) and out.dtype == args[0].dtype:
            # A weight that is moved in or out is one all the same.
            self._storages.ignore_copy(out)
        self._storages.follow(tensors_of(out))
        self.peak = max(self.peak, self._storages.live + self._workspace(func, args, out))
        return out

    def hold(self, tensors: Iterable[torch.Tensor]) -> None:
        """Count tensors that were there before."""
        for each in tensors:
            if isinstance(each, torch.nn.Parameter):
                # A weight that was moved while nobody followed.
                self._storages.ignore_copy(each)
            # Whenever the peak was, these were there, too.
            self.peak += self._storages.follow([each])

    def close(self) -> None:
        """Follow no more."""
        self._storages.close()

    def _workspace(self, func: Any, args: tuple[Any, ...], out: Any) -> int:
        if func is _FLASH:
            query, key = args[0], args[1]
            lengths = query.shape[-2], key.shape[-2], query.shape[-1]
            return workspace.flash_on_cpu(*lengths, self._threads)
        if func is not CONVOLUTION:
            return 0
        of = storages.convolution(args[0], args[1], out)
        other = storages.unfolded(of, args[0], out)
        if of.batch == 1 and self._dtype == "float32" and other.numbers <= workspace.UNFOLDED:
            return other.columns
        return max(workspace.convolution("cpu", self._dtype, of))


_COMPOSITES: dict[Any, bool] = {}


def _is_composite(func: Any) -> bool:
    if func not in _COMPOSITES:
        has = torch._C._dispatch_has_kernel_for_dispatch_key
        _COMPOSITES[func] = has(func.name(), "CompositeImplicitAutograd")
    return _COMPOSITES[func]
