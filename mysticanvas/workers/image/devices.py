"""Which device to compute on, in which number format, and what its failures look like."""

from __future__ import annotations

import functools
import gc
import importlib.metadata
import itertools
import platform
import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from mysticanvas import nvidia
from mysticanvas.contracts.memory import IN_USE, DeviceKind, MemoryPart
from mysticanvas.contracts.recipe import Environment
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.errors import InvalidRequest, WorkerCrashed
from mysticanvas.workers.image import attention

_MIB = 1 << 20
_DISTRIBUTIONS = (
    "diffusers",
    "mysticanvas",
    "numpy",
    "pillow",
    "safetensors",
    "tokenizers",
    "torch",
    "transformers",
)
"""Distributions that have a say in the pixels."""
_LARGE_CHIPS = (9, 10)
"""Major compute capabilities, Hopper's and Blackwell's, that get the larger workspace of cuBLAS."""
_LARGE_WORKSPACE, _SMALL_WORKSPACE = 32 << 20, (8 << 20) + (128 << 10)
_LINEAR_WORKSPACE = 1 << 20
_AMPLE = 1 << 30
"""Bytes that are to be free of a GPU before it is tried what its library would choose."""
_COPIES_INPUT: dict[torch.device, bool] = {}
"""What was found out in this process."""
_NO_MEMORY = re.compile(
    "DefaultCPUAllocator"
    "|MPS backend out of memory"
    # Of the driver and the runtime, as a context is made, say, or a kernel is loaded.
    "|error: out of memory"
    "|CUDA_ERROR_OUT_OF_MEMORY"
    "|CUBLAS_STATUS_ALLOC_FAILED"
    "|CUDNN_STATUS_ALLOC_FAILED"
    "|DEVICE_ALLOCATION_FAILED"
    # Of libraries that find no room for what they set up when they are first used.
    "|CUBLAS_STATUS_NOT_INITIALIZED when calling .?cublas(Lt)?Create"
    "|CUDNN_STATUS_NOT_INITIALIZED"
    # PyTorch's allocator asks NVML for the figures of its message, which is refused on a part of a
    # GPU (MIG) and in some containers.
    r"|NVML_SUCCESS == r INTERNAL ASSERT FAILED at .*CUDACachingAllocator\.cpp"
    # What PyTorch says when no algorithm of cuDNN gets the workspace that it wants.
    "|unable to find an engine to execute this computation"
    "|Unable to find a valid cuDNN algorithm"
)
"""Parts of the texts of errors that have no class of their own and mean that memory ran out."""
_LOST = re.compile(
    r"(CUDA|HIP)( driver)? error: "
    r"|CU(BLAS|DNN|SOLVER|FFT|SPARSE)_(STATUS_)?"
    r"(EXECUTION_FAILED|EXEC_FAILED|INTERNAL_ERROR|MAPPING_ERROR)"
)
"""The same of errors after which a context on a GPU is of no more use."""
_KEPT = re.compile(
    "no kernel image is available|invalid device function"
    "|CUBLAS_STATUS_(INVALID_VALUE|NOT_SUPPORTED|ARCH_MISMATCH)"
)
"""Of those, what is wrong with a call or with this build of PyTorch, in every process."""


def choose(wanted: str, before: DeviceKind | None = None) -> torch.device:
    """The device that `wanted` names; for `auto`, what it was before, or else the best there is.

    Raises:
        InvalidRequest: this machine, or this build of torch, has no such device.
        WorkerCrashed: it has no longer what `auto` was before.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto" and before in ("cuda", "mps"):
        if not there[before]:
            raise _gone(before)
        return torch.device(before)
    if wanted == "auto":
        return torch.device(next(name for name, found in there.items() if found))
    if not there.get(wanted, False):
        found = [name for name in there if there[name]]
        raise InvalidRequest(
            f"There is no device {wanted!r} for torch {torch.__version__} on this machine.",
            hint=f"Set MYSTICANVAS_DEVICE to one of: auto, {', '.join(found)}.",
            parameter="device",
            value=wanted,
            allowed=", ".join(["auto", *found]),
        )
    return torch.device(wanted)


def _gone(before: DeviceKind) -> WorkerCrashed:
    ask = "`nvidia-smi` tells whether the driver still sees it; if it does not, restart" * (
        before == "cuda"
    )
    return WorkerCrashed(
        f"The GPU is gone: torch {torch.__version__} finds no device {before!r} any more, on which "
        "pictures were made before. The CPU does not stand in for it, since it is many times "
        "slower and gives other pixels.",
        hint=f"{ask or 'Restart'} the driver or the machine, and jobs run again. To draw on the "
        "CPU instead, run `mysticanvas stop`, set MYSTICANVAS_DEVICE=cpu and begin again.",
        engineless=True,
    )


def dtype_for(device: torch.device, wanted: str, transformer: bool) -> torch.dtype:
    """The number format of weights and activations.

    Half precision on CUDA alone: on a CPU it is slower, and on MPS it gives black pictures with
    some models. Diffusion transformers overflow in float16, so they get bfloat16, or float32 where
    the GPU would only imitate that. Whether it would, the orchestrator asks the driver as well.
    """
    if wanted != "auto":
        return {
            "float32": torch.float32,
            "float16": torch.float16,
            "bfloat16": torch.bfloat16,
        }[wanted]
    if device.type != "cuda":
        return torch.float32
    if transformer:
        return torch.bfloat16 if nvidia.has_bfloat16() else torch.float32
    return torch.float16


def name_of(dtype: torch.dtype) -> str:
    """Such as `float32`."""
    return str(dtype).removeprefix("torch.")


def describe(device: torch.device) -> str:
    """Such as `cpu` or `cuda:NVIDIA GeForce RTX 4090`."""
    if device.type == "cuda":
        return f"cuda:{torch.cuda.get_device_name(device)}"
    return device.type


def environment(device: torch.device, dtype: torch.dtype) -> Environment:
    """Where a picture is made, as its recipe tells."""
    return Environment(
        device=describe(device),
        dtype=name_of(dtype),
        threads=torch.get_num_threads(),
        versions=_versions(),
        attention=attention.taken(device, dtype),
    )


@functools.cache
def _versions() -> dict[str, str]:
    installed = {name: importlib.metadata.version(name) for name in _DISTRIBUTIONS}
    return installed | {"python": platform.python_version()}


def synchronize(device: torch.device) -> None:
    """Wait for what was queued on the device, so that a clock read now is honest."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def release_memory(device: torch.device) -> None:
    """Give memory that nothing uses any more back to the system.

    Raises:
        RuntimeError: the device is lost.
    """
    gc.collect()
    if device.type == "cuda":
        if has_context(device):
            # One that is lost says so here. A library that cannot be set up for that reason may
            # have said what it says for want of memory.
            torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        empty_host_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def empty_cache(device: torch.device) -> None:
    """Give back what CUDA's allocator keeps and nobody uses; nothing on other devices."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def empty_host_cache() -> None:
    """Give pinned memory that nobody uses back to the system, which CUDA's cache is no part of."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return
    # It has a public name in later releases only.
    before: Any = getattr(torch._C, "_host_emptyCache", None)
    empty: Any = getattr(torch.accelerator, "empty_host_cache", before)
    if empty is not None:
        empty()


def refused(device: torch.device) -> int:
    """How often CUDA's allocator had no memory to give in this process; 0 on other devices. Of some
    of it nothing else tells, since libraries that are refused memory may go on by another
    algorithm."""
    if device.type != "cuda":
        return 0
    try:
        return int(torch.cuda.memory_stats(device).get("num_ooms", 0))
    except RuntimeError:
        # It was asked of a context that is lost.
        return 0


def has_context(device: torch.device) -> bool:
    """Whether this process has a context on a GPU. Where there was no room for one,
    PyTorch counts as initialized all the same."""
    if device.type != "cuda" or not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return False
    of_this_build: Any = torch._C
    return bool(of_this_build._cuda_hasPrimaryContext(device.index or 0))


def memory(device: torch.device) -> DeviceMemory | None:
    """A GPU's memory as this process sees it, which holds in containers, too; None for a CPU."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
    elif device.type == "mps":
        total = torch.mps.recommended_max_memory()
        free = max(0, total - torch.mps.driver_allocated_memory())
    else:
        return None
    return DeviceMemory(name=describe(device), total_mib=total / _MIB, free_mib=free / _MIB)


def copies_input(device: torch.device) -> bool | None:
    """Whether a convolution in float32 takes memory for a copy of its input as well: tried out on
    CUDA, once. It is what the library below PyTorch chooses for the device; None while that has so
    little memory left that another way might be taken for want of it."""
    if device.type != "cuda":
        return True
    if device not in _COPIES_INPUT:
        free, _ = torch.cuda.mem_get_info(device)
        if free < _AMPLE:
            return None
        _COPIES_INPUT[device] = _copies_input(device)
    return _COPIES_INPUT[device]


def _copies_input(device: torch.device) -> bool:
    given = torch.zeros(1, 512, 128, 128, device=device)
    weight = torch.zeros(512, 512, 3, 3, device=device)
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    with torch.inference_mode():
        torch.nn.functional.conv2d(given, weight, padding=1)
    torch.cuda.synchronize(device)
    taken = torch.cuda.max_memory_allocated(device) - before
    size = given.numel() * given.element_size()
    # The output, its copy, the weight's; and the input's, or not.
    return taken > 2 * size + weight.numel() * weight.element_size() + size // 2


def workspace(device: torch.device) -> int:
    """Bytes of CUDA's memory that PyTorch keeps for products of matrices from the first one on.

    Source: `parseChosenWorkspaceSize` of PyTorch's `CublasHandlePool.cpp`, by its defaults, and
    what linear layers took beside on an H200 (benchmarks/results/gpu-nvidia-h200.json).
    """
    if device.type != "cuda":
        return 0
    major, _ = torch.cuda.get_device_capability(device)
    return _workspace_of(major)


def _workspace_of(major: int) -> int:
    """That of a compute capability: of cuBLAS, and what linear layers take beside."""
    return (_LARGE_WORKSPACE if major in _LARGE_CHIPS else _SMALL_WORKSPACE) + _LINEAR_WORKSPACE


def weights(pipeline: Any) -> list[MemoryPart]:
    """What the weights of each model of a pipeline take, and where they lie."""
    return [
        MemoryPart(name=f"weights.{name}", mib=_bytes(part) / _MIB, known="exact", device=place)
        for (name, part), place in zip(_models(pipeline), places(pipeline), strict=True)
    ]


def places(pipeline: Any) -> list[str]:
    """Where the weights of each model lie, in the order of `weights`."""
    # By the first weight: what the libraries call a model's device is looked for among all of them.
    return [str(next(part.parameters()).device) for _, part in _models(pipeline)]


def _models(pipeline: Any) -> Iterator[tuple[str, Any]]:
    for name, part in pipeline.components.items():
        if isinstance(part, torch.nn.Module):
            yield name, part


def _bytes(part: torch.nn.Module) -> int:
    tensors = itertools.chain(part.parameters(), part.buffers())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def allocator_parts(device: torch.device, weights: Sequence[MemoryPart]) -> list[MemoryPart]:
    """What torch has of a GPU beside weights: what is given out for computing, and what is set
    aside beyond, to have it at once.

    Args:
        weights: of the model that is loaded, wherever they lie.
    """
    if not has_context(device):
        return []
    given = torch.cuda.memory_allocated(device) / _MIB
    there = sum(part.mib for part in weights if part.device.startswith(device.type))
    sizes = {
        # Weights that a job moves in and out are given out for it.
        IN_USE: max(0.0, given - there),
        "reserved": torch.cuda.memory_reserved(device) / _MIB - given,
    }
    return [
        MemoryPart(name=name, mib=mib, known="measured", device=str(device))
        for name, mib in sizes.items()
    ]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out. Only CUDA's allocator has a class of its own for
    it; the libraries around it do not."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None


def lost(error: BaseException) -> str | None:
    """What an error, or one that it comes from, says of a GPU that this process cannot use any
    more, such as `CUDA error: unspecified launch failure`; None if it can."""
    at: BaseException | None = error
    while at is not None:
        text = str(at)
        if (
            isinstance(at, RuntimeError)
            and _LOST.search(text)
            and not _KEPT.search(text)
            and not is_out_of_memory(at)
        ):
            return text.splitlines()[0]
        at = at.__cause__ or at.__context__
    return None
