"""A container has less memory than the machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mysticanvas.orchestrator.supervisor import cgroups

LIMIT_MIB = 1200
LIMIT_NAMES = {"cgroup2": "memory.max", "cgroup": "memory.limit_in_bytes"}
SCRIPT = Path(__file__).parent / "draw_in_group.py"


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group that is allowed so much, where this machine lets one be made."""
    for folder, limit in candidates():
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            with contextlib.suppress(OSError):
                (folder / limit).write_text(str(LIMIT_MIB << 20))
                yield folder
                return
        finally:
            remove(folder)
    pytest.skip("no control group with a limit can be made here")


def candidates() -> Iterator[tuple[Path, str]]:
    """Where groups could be made, and what their limit is called."""
    try:
        texts = [Path("/proc/self", name).read_text() for name in ("cgroup", "mountinfo")]
    except OSError:
        return
    for kind, folder in dict(cgroups.groups(*texts)).items():
        yield folder / f"mysticanvas-test-{os.getpid()}", LIMIT_NAMES[kind]


def remove(folder: Path) -> None:
    """Wait until all of a group's processes are gone; it can be removed then."""
    deadline = time.monotonic() + 60
    while True:
        try:
            folder.rmdir()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


@pytest.mark.fault("a container without memory for a picture", "refused; no process is killed")
def test_a_picture_beyond_the_limit_of_a_container_is_refused(
    group: Path, home: Path, tiny_sd: Path
) -> None:
    command = [sys.executable, SCRIPT, group, home, tiny_sd]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert ran.returncode == 0, ran.stderr
    total_mib, free_mib, outcome = ran.stdout.split()
    assert float(total_mib) == LIMIT_MIB
    assert 0 < float(free_mib) < LIMIT_MIB - 300
    assert outcome == "does_not_fit"
