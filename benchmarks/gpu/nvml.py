"""What the driver says of the device, without a context of CUDA; nothing where it says nothing."""

from __future__ import annotations

from mysticanvas import nvidia


def used() -> int | None:
    """Bytes in use, whoever has them."""
    seen = nvidia.told(lambda library, gpu: library.nvmlDeviceGetMemoryInfo(gpu))
    return None if seen is None else int(seen.used)


def pids() -> list[int] | None:
    """Processes with a context, as the driver numbers them; in containers often none."""
    found = nvidia.told(lambda library, gpu: library.nvmlDeviceGetComputeRunningProcesses(gpu))
    return None if found is None else [each.pid for each in found]


def driver() -> str | None:
    """Version of the driver."""
    version = nvidia.told(lambda library, _: library.nvmlSystemGetDriverVersion())
    return None if version is None else str(version)
