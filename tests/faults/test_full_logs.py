"""A disk that is full in `logs/` stops no work: lines are dropped, counted, and that is said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import MOUNT, can_mount

HERE = Path(__file__).parent


@pytest.mark.fault("a disk that is full in logs/", "work goes on; what was dropped is said")
@pytest.mark.skipif(not can_mount(), reason="no file system can be mounted here")
def test_work_goes_on_and_what_was_dropped_is_said(tmp_path: Path, tiny_sd: Path) -> None:
    home = tmp_path / "home"
    (home / "logs").mkdir(mode=0o700, parents=True)
    run = 'mount -t tmpfs -o size=1m tmpfs "$0/logs" && exec "$1" "$2" "$0" "$3"'
    script = str(HERE / "fill_logs.py")
    command = [*MOUNT, run, str(home), sys.executable, script, str(tiny_sd)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    said = json.loads(done.stdout)
    assert set(said["dropped"]) == {"orchestrator", "worker-image"}
    assert min(said["dropped"].values()) > 0
    assert said["events"][0] == "job_queued"
    assert {"job_started", "generate_started", "generate_done"} <= set(said["events"])
