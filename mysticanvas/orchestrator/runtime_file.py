"""Writing and removing `run/orchestrator.json`."""

from __future__ import annotations

from pathlib import Path

from mysticanvas import durable
from mysticanvas.contracts.runtime import Runtime


def write_runtime(path: Path, runtime: Runtime) -> None:
    """Put the file in place in one step, readable by the user alone."""
    durable.replace(path, runtime.model_dump_json().encode())


def remove_runtime(path: Path, pid: int) -> None:
    """Remove the file if it is that of process `pid`; another's is left alone."""
    try:
        runtime = Runtime.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return
    if runtime.pid == pid:
        path.unlink(missing_ok=True)
