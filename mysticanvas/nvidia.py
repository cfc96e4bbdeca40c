"""What NVIDIA's driver says of a GPU, without the memory that a context of CUDA would take."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

from mysticanvas import logs
from mysticanvas.contracts.vram import DeviceMemory

_MIB = 1 << 20
_log = logs.get(__name__)


def memory() -> DeviceMemory | None:
    """The memory of the first GPU that this process is shown; None if there is no driver, or it
    does not say."""
    told = _told(
        lambda library, gpu: (library.nvmlDeviceGetMemoryInfo(gpu), library.nvmlDeviceGetName(gpu))
    )
    if told is None:
        return None
    seen, name = told
    return DeviceMemory(name=f"cuda:{name}", total_mib=seen.total / _MIB, free_mib=seen.free / _MIB)


def free_mib() -> float | None:
    """What that GPU has left, in MiB; None where the driver does not say."""
    seen = memory()
    return None if seen is None else seen.free_mib


def own_mib(pid: int) -> float | None:
    """What the driver counts to a process; None where it does not say. In containers it often knows
    processes by other numbers, or tells nothing of them."""
    running = _told(lambda library, gpu: library.nvmlDeviceGetComputeRunningProcesses(gpu)) or ()
    # None of one that is there, too.
    taken = next((each.usedGpuMemory for each in running if each.pid == pid), None)
    return None if taken is None else taken / _MIB


def _told(ask: Callable[[Any, Any], Any]) -> Any:
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
    """The library, and the first device."""
    # Late: where there is no GPU, nobody pays for it.
    import pynvml

    try:
        pynvml.nvmlInit()
        return pynvml, _handle(pynvml, os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    except pynvml.NVMLError as error:
        _log.info("no_gpu_driver", error=str(error))
        return None


def _handle(library: Any, visible: str) -> Any:
    """The first of those that processes are shown: by number, or by the beginning of its id."""
    first = visible.partition(",")[0].strip()
    if first.startswith("GPU-"):
        return library.nvmlDeviceGetHandleByUUID(first)
    return library.nvmlDeviceGetHandleByIndex(int(first) if first.isdecimal() else 0)
