"""What a crash left is kept whole on a file system that clones files, on a real one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MOUNT = 'truncate -s 512m "$0.xfs"; mkfs.xfs -q "$0.xfs"; mkdir "$0"; mount -o loop "$0.xfs" "$0"'
"""XFS in a file, for whoever may mount one."""


def in_xfs(folder: Path, then: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command whose `$0` is a folder on an XFS that goes with it."""
    shell = ["unshare", "--mount", "sh", "-ec", f"{MOUNT}; {then}", str(folder), *arguments]
    return subprocess.run(shell, capture_output=True, text=True, check=False)


def can_mount(folder: Path) -> bool:
    found = shutil.which("mkfs.xfs") and shutil.which("unshare")
    return bool(found) and in_xfs(folder, "true").returncode == 0


@pytest.mark.fault("a crash on a file system that clones", "the database is kept as it was")
def test_the_database_of_a_crash_is_cloned(tmp_path: Path) -> None:
    if not can_mount(tmp_path / "probe"):
        pytest.skip("no file system that clones files can be mounted here")
    script = str(HERE / "crash_and_open.py")
    ended = in_xfs(tmp_path / "disk", 'exec "$1" "$2" "$0/home"', sys.executable, script)
    assert ended.returncode == 0, ended.stderr
    # Sharing blocks with a file that changed since, it is the very database of the crash.
    assert ended.stdout == "kept 1 shared True held True\n"
