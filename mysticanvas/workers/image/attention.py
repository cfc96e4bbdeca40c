"""Which of PyTorch's kernels computes attention: asked of a device once, and kept to in a job."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from mysticanvas.contracts.recipe import AttentionKernel
from mysticanvas.contracts.tracing import Attention

_NAMES: Final[dict[SDPBackend, AttentionKernel]] = {
    SDPBackend.CUDNN_ATTENTION: "cudnn",
    SDPBackend.FLASH_ATTENTION: "flash",
    SDPBackend.EFFICIENT_ATTENTION: "efficient",
    SDPBackend.MATH: "math",
}
_KERNELS = {name: kernel for kernel, name in _NAMES.items()}
_FALLBACKS: tuple[AttentionKernel, ...] = ("flash", "efficient", "math")
"""For calls with a mask, or with heads that the first kernel does not take. cuDNN is none of them:
PyTorch takes it first or not at all."""
_HEADS, _TOKENS, _WIDTH = 8, 64, 64
"""Of the call that is asked about: every kernel takes such a one if the device has it."""


@functools.cache
def taken(device: torch.device, dtype: torch.dtype) -> AttentionKernel | None:
    """The kernel that PyTorch takes for a call without a mask; None where it has no choice.

    On CUDA, it takes a context.
    """
    if device.type not in ("cpu", "cuda"):
        return None
    given = torch.zeros(1, _HEADS, _TOKENS, _WIDTH, device=device, dtype=dtype)
    # What the function itself asks: what a device could do besides is not what it takes.
    return _NAMES.get(SDPBackend(torch._fused_sdp_choice(given, given, given)))


def order(first: AttentionKernel) -> list[AttentionKernel]:
    """The kernels that a job may use, the first of them wherever it can: as PyTorch does it where
    that one was `taken`."""
    return [first, *(each for each in _FALLBACKS if each != first)]


def traced_as(kernel: AttentionKernel | None) -> Attention:
    """As what a kernel counts in a trace. That of cuDNN takes what flash attention does."""
    return "flash" if kernel is None or kernel == "cudnn" else kernel


def fixed(kernel: AttentionKernel | None) -> AbstractContextManager[None]:
    """Have attention computed by these kernels alone: in the whole process, a VAE on the CPU
    included, which takes no other than before."""
    if kernel is None:
        return nullcontext()
    kernels = [_KERNELS[each] for each in order(kernel)]
    held: AbstractContextManager[None] = sdpa_kernel(kernels, set_priority=True)
    return held
