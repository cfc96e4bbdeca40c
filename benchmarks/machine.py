"""Where it was measured, and what else kept that machine busy."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import psutil

import mysticanvas

_PACKAGES = ("torch", "diffusers", "transformers", "duckdb", "fastapi", "httpx", "pydantic")
_LOOK_S = 1.0
BUSY_PERCENT = 10.0
"""More than that of the machine's time at work for others, and no figure counts as measured on an
idle machine."""


class Load(NamedTuple):
    """How busy the machine is while we do nothing."""

    average_1min: float
    """Processes that want a core; our own work of the last minute counts as well."""
    busy_percent: float
    """Share of all cores' time at work, over one second from now."""

    @property
    def idle(self) -> bool:
        return self.busy_percent <= BUSY_PERCENT


def load() -> Load:
    """Look at the machine for one second."""
    return Load(os.getloadavg()[0], psutil.cpu_percent(_LOOK_S))


def describe() -> dict[str, Any]:
    """The machine and the versions that were measured."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "mysticanvas": mysticanvas.__version__,
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "unknown")
