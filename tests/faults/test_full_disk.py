"""A disk that is full at a commit, and at a CHECKPOINT; in the store, and over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import MOUNT, can_mount

from mysticanvas.home import HomePaths
from mysticanvas.store import Store
from mysticanvas.store.checkpoints import MAX_COMMITS

HERE = Path(__file__).parent
NO_ROOM = ("no room for a CHECKPOINT under an orchestrator", "507, reads go on; so do writes later")
NO_ROOM_KILLED = ("a kill while there is no room for a CHECKPOINT", "507; all is there with room")


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


@pytest.mark.timeout(0)
@pytest.mark.skipif(not can_mount(), reason="no file system can be mounted here")
def test_a_disk_without_room_for_a_checkpoint_is_507_over_http(
    home: Path, few: int, faults: Any
) -> None:
    """The disk is freed under the orchestrator; every other time, it is killed before."""
    home.mkdir()
    run = 'mount -t tmpfs -o size=64m tmpfs "$0" && exec "$1" "$2" "$0" "$3"'
    script = str(HERE / "fill_disk_over_http.py")
    command = [*MOUNT, run, str(home), sys.executable, script, str(few)]
    # The script shares what tests share.
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    for number, seen in enumerate(json.loads(done.stdout)):
        killed = bool(number % 2)
        fault, outcome = NO_ROOM_KILLED if killed else NO_ROOM
        with faults.inject(fault, outcome):
            assert seen["commits"] > MAX_COMMITS
            refused = seen["refused"]
            assert (refused["status"], refused["code"]) == (507, "store_full")
            assert refused["detail"] == "The disk is full, so nothing was recorded."
            assert "Free some space on the disk of the home directory" in refused["hint"]
            assert seen["again"] == 507
            # One was due, and not begun before there was room.
            assert seen["moved"] == ([False] if killed else [False, True])
            assert (seen["images"], seen["queue"], seen["total"]) == (200, 200, True)
            if killed:
                assert seen["start"] == "store_full"
            else:
                assert (seen["freed"], seen["listed"]) == (202, True)
            assert seen["kept"]


def at_checkpoint(paths: HomePaths, limit: str) -> list[str]:
    """How many presets were saved; of the CHECKPOINT, a read after it, and a CHECKPOINT with room:
    the code of its error, the presets that were read, the code again."""
    command = [sys.executable, str(HERE / "fill_disk_at_checkpoint.py"), str(paths.root), limit]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()


def test_a_checkpoint_without_room_below_a_limit_is_not_begun(tmp_path: Path, faults: Any) -> None:
    paths = HomePaths.of(tmp_path / "home")
    saved, code, listed, later = at_checkpoint(paths, "seen")
    fault = "a CHECKPOINT without room below a limit of the process"
    with faults.inject(fault, "507, reads go on"), Store.open(paths) as store:
        assert (code, listed, later) == ("store_full", saved, "none")
        assert len(store.presets.list()) == int(saved) > 0


def test_a_checkpoint_that_fails_half_way_loses_nothing(tmp_path: Path, faults: Any) -> None:
    """DuckDB itself meets a limit that nobody saw beforehand, and stops."""
    paths = HomePaths.of(tmp_path / "home")
    saved, *said = at_checkpoint(paths, "unseen")
    fault = "a CHECKPOINT that meets a full disk"
    with faults.inject(fault, "nothing is lost"), Store.open(paths) as store:
        assert said == ["store_full", "-507", "store_full"]
        assert len(store.presets.list()) == int(saved) > 0
