"""What tests of several folders share; `pythonpath` in pyproject.toml puts it within reach."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from mysticanvas.processes import child_environment
from mysticanvas.session import launch

MOUNT = ["unshare", "--map-root-user", "--mount", "sh", "-ec"]
"""A mount of one's own, which ends with its process, for whoever may make a user namespace."""


def processes_of(home: Path) -> list[psutil.Process]:
    """The orchestrator, the workers and the helpers of a home, by what their command lines say."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"] or []
        if "--ready-fd" in line and any(word.startswith(str(home)) for word in line):
            found.append(process)
    return found


def kill(pid: int) -> None:
    """SIGKILL a process that somebody else waits for; returns when it does nothing any more, which
    is later than the signal: its connections are closed one by one meanwhile."""
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            time.sleep(0.001)


def long_job(preset: Path) -> dict[str, object]:
    """Arguments of a job that runs for seconds on the tiny model, in some hundred steps."""
    return {"preset": str(preset), "num_inference_steps": 300, "seed": 1}


def start_as(patch: pytest.MonkeyPatch, module: str, **environment: str) -> None:
    """Have this process start its orchestrators as a module of `tests/faults`."""
    more = {"PYTHONPATH": str(Path(__file__).parent / "faults"), **environment}
    patch.setattr(launch, "MODULE", module)
    patch.setattr(launch, "child_environment", lambda extra: child_environment({**extra, **more}))


def can_mount() -> bool:
    try:
        command = [*MOUNT, "mount -t tmpfs -o size=1m tmpfs /mnt"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
