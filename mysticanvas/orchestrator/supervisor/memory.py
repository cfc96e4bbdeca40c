"""What a device has left, as the next load counts on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil

from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.orchestrator.supervisor import cgroups

Probe = Callable[[], float]
"""Free memory of the device in MiB; must not block."""


def system_free_mib() -> float:
    """What the system can give without swapping, in MiB: the device of a CPU worker."""
    return system().free_mib


def system() -> DeviceMemory:
    """The system's memory as a device, or as much of it as a container is allowed."""
    seen = psutil.virtual_memory()
    rooms = cgroups.rooms(cgroups.own())
    return DeviceMemory(
        name="system memory",
        total_mib=float(min([seen.total, *(room.limit for room in rooms)])) / 2**20,
        free_mib=float(min([seen.available, *(room.free for room in rooms)])) / 2**20,
    )


def oom_kills(counters: Path = Path("/proc/vmstat")) -> int:
    """How many processes the system has killed for want of memory since it started, those of
    containers included; 0 where it does not say."""
    try:
        lines = counters.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
