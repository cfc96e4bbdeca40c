"""What tests of several folders share; `pythonpath` in pyproject.toml puts it within reach."""

import subprocess
from pathlib import Path

import psutil

MOUNT = ["unshare", "--map-root-user", "--mount", "sh", "-ec"]
"""A mount of one's own, which ends with its process, for whoever may make a user namespace."""


def processes_of(home: Path) -> list[psutil.Process]:
    """The orchestrator and the workers of a home, by what their command lines say."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"] or []
        ours = any("mysticanvas." in word for word in line)
        if ours and any(word.startswith(str(home)) for word in line):
            found.append(process)
    return found


def long_job(preset: Path) -> dict[str, object]:
    """Arguments of a job that runs for seconds on the tiny model, in some hundred steps."""
    return {"preset": str(preset), "num_inference_steps": 300, "seed": 1}


def can_mount() -> bool:
    try:
        command = [*MOUNT, "mount -t tmpfs -o size=1m tmpfs /mnt"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
