"""Writing and removing `run/orchestrator.json`."""

from __future__ import annotations

import os
from pathlib import Path

from mysticanvas.contracts.runtime import Runtime


def write_runtime(path: Path, runtime: Runtime) -> None:
    """Put the file in place in one step, readable by the user alone."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(runtime.model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)


def remove_runtime(path: Path, pid: int) -> None:
    """Remove the file if it is that of process `pid`; another's is left alone."""
    try:
        runtime = Runtime.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return
    if runtime.pid == pid:
        path.unlink(missing_ok=True)
