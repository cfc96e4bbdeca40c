"""What the driver says of the device, without a context of CUDA; nothing where it says nothing."""

from __future__ import annotations

import functools
from typing import Any


@functools.cache
def _device() -> Any:
    """The library and the first device's handle; None if there is no driver to ask."""
    try:
        import pynvml

        pynvml.nvmlInit()
        return pynvml, pynvml.nvmlDeviceGetHandleByIndex(0)
    except Exception:  # noqa: BLE001  # no library, no driver, or one that refuses
        return None


def used() -> int | None:
    """Bytes in use, whoever has them."""
    found = _device()
    if found is None:
        return None
    library, handle = found
    try:
        return int(library.nvmlDeviceGetMemoryInfo(handle).used)
    except library.NVMLError:
        return None


def pids() -> list[int] | None:
    """Processes with a context, as the driver numbers them; in containers often none."""
    found = _device()
    if found is None:
        return None
    library, handle = found
    try:
        return [each.pid for each in library.nvmlDeviceGetComputeRunningProcesses(handle)]
    except library.NVMLError:
        return None


def driver() -> str | None:
    """Version of the driver."""
    found = _device()
    if found is None:
        return None
    library, _ = found
    try:
        return str(library.nvmlSystemGetDriverVersion())
    except library.NVMLError:
        return None
