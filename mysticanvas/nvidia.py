"""What NVIDIA's driver says of a GPU, without the memory that a context of CUDA would take."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

from mysticanvas import logs
from mysticanvas.contracts.vram import DeviceMemory

BY_BUS = "PCI_BUS_ID"
"""The order of CUDA's devices that is the driver's as well, which our processes are told to keep to
by default: so both mean the same GPU."""
_MIB = 1 << 20
_AMPERE = 8
"""Major compute capability from which on there is bfloat16."""
_log = logs.get(__name__)


def memory() -> DeviceMemory | None:
    """The memory of the first GPU that this process is shown; None if there is no driver, or it
    does not say."""
    found = told(
        lambda library, gpu: (library.nvmlDeviceGetMemoryInfo(gpu), library.nvmlDeviceGetName(gpu))
    )
    if found is None:
        return None
    seen, name = found
    return DeviceMemory(name=f"cuda:{name}", total_mib=seen.total / _MIB, free_mib=seen.free / _MIB)


def free_mib() -> float | None:
    """What that GPU has left, in MiB; None where the driver does not say."""
    seen = memory()
    return None if seen is None else seen.free_mib


def own_mib(pid: int) -> float | None:
    """What the driver counts to a process; None where it does not say. In containers it often knows
    processes by other numbers, or tells nothing of them."""
    running = told(lambda library, gpu: library.nvmlDeviceGetComputeRunningProcesses(gpu)) or ()
    # None of one that is there, too.
    taken = next((each.usedGpuMemory for each in running if each.pid == pid), None)
    return None if taken is None else taken / _MIB


def has_bfloat16() -> bool:
    """Whether it computes in bfloat16 itself, which is far quicker than as another format; taken to
    be so where the driver does not say."""
    found = told(lambda library, gpu: library.nvmlDeviceGetCudaComputeCapability(gpu))
    return found is None or found[0] >= _AMPERE


def told(ask: Callable[[Any, Any], Any]) -> Any:
    """What the library answers of the device; None if there is none, or it does not say."""
    found = _device()
    if found is None:
        return None
    library, handle = found
    try:
        return ask(library, handle)
    except library.NVMLError as error:
        _log.info("gpu_not_told", error=str(error))
        return None


@functools.cache
def _device() -> tuple[Any, Any] | None:
    """The library, and the first device; None if there is none, or it is not known which."""
    # Late: where there is no GPU, nobody pays for it.
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = _handle(
            pynvml,
            os.environ.get("CUDA_VISIBLE_DEVICES"),
            os.environ.get("CUDA_DEVICE_ORDER", BY_BUS),
        )
    except pynvml.NVMLError as error:
        _log.info("no_gpu_driver", error=str(error))
        return None
    return None if handle is None else (pynvml, handle)


def _handle(library: Any, visible: str | None, order: str) -> Any:
    """The first of those that processes are shown: by number, or by its id or the beginning of it;
    None if they are shown none, or it is not known which.

    Args:
        visible: `CUDA_VISIBLE_DEVICES`.
        order: `CUDA_DEVICE_ORDER`.
    """
    count = library.nvmlDeviceGetCount()
    first = "0" if visible is None else visible.partition(",")[0].strip()
    if first.startswith("MIG-"):
        return library.nvmlDeviceGetHandleByUUID(first)
    if first.startswith("GPU-"):
        every = map(library.nvmlDeviceGetHandleByIndex, range(count))
        found = [each for each in every if library.nvmlDeviceGetUUID(each).startswith(first)]
        return _whole(library, found[0]) if len(found) == 1 else None
    # The driver numbers them by the bus, CUDA by another order unless it is told that one.
    if not first.isdecimal() or int(first) >= count or (count > 1 and order != BY_BUS):
        return None
    return _whole(library, library.nvmlDeviceGetHandleByIndex(int(first)))


def _whole(library: Any, gpu: Any) -> Any:
    """It, unless it is divided, so that processes are shown a part of it."""
    try:
        mode, _ = library.nvmlDeviceGetMigMode(gpu)
    except library.NVMLError:
        # Of a kind that cannot be.
        return gpu
    return None if mode == library.NVML_DEVICE_MIG_ENABLE else gpu
