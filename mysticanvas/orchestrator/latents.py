"""What one worker process has sampled and the next one is to decode: files of moments."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path


def folder(run: Path) -> Path:
    """Where workers keep them, below the folder of what lasts as long as the orchestrator."""
    return run / "latents"


def clear(run: Path) -> None:
    """Remove what a crash has left: its jobs begin again."""
    shutil.rmtree(folder(run), ignore_errors=True)


def forget(run: Path, job_id: str) -> None:
    """Remove those of a job, whole or half written."""
    for path in folder(run).glob(f"*{job_id}-*"):
        with contextlib.suppress(OSError):
            path.unlink()
