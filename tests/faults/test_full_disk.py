"""A disk that is full at a commit, and at a CHECKPOINT."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import MOUNT, can_mount

from mysticanvas.settings import HomePaths
from mysticanvas.store import Store

HERE = Path(__file__).parent


@pytest.mark.skipif(not can_mount(), reason="no file system can be mounted here")
def test_on_a_full_file_system_reads_go_on_and_nothing_is_lost(tmp_path: Path, faults: Any) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    run = 'mount -t tmpfs -o size=24m tmpfs "$0" && exec "$1" "$2" "$0"'
    command = [*MOUNT, run, str(folder), sys.executable, str(HERE / "fill_tmpfs.py")]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    with faults.inject("a full file system", "writes are refused, reads go on"):
        saved, status = map(int, said.split())
        assert saved > 10
        assert status == 507


def test_a_checkpoint_that_fails_half_way_loses_nothing(tmp_path: Path, faults: Any) -> None:
    """The limit of a process is not seen beforehand, so DuckDB itself meets it and stops."""
    paths = HomePaths.of(tmp_path / "home")
    command = [sys.executable, str(HERE / "fill_disk_at_checkpoint.py"), str(paths.root)]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    saved, code, listed = said.split()
    fault = "a CHECKPOINT that meets a full disk"
    with faults.inject(fault, "nothing is lost"), Store.open(paths) as store:
        assert (code, listed) == ("store_full", "-507")
        assert len(store.presets.list()) == int(saved) > 0
