"""SIGKILL at random moments of opening, committing, checkpointing and keeping the search index;
that of migrations, at every statement of them, is in `tests/migrations`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mysticanvas.home import HomePaths
from mysticanvas.store import Store


@pytest.mark.timeout(0)
def test_no_acknowledged_picture_is_lost_and_every_look_up_equals_a_scan(
    tmp_path: Path, count: int, faults: Any
) -> None:
    paths = HomePaths.of(tmp_path / "home")
    script = Path(__file__).with_name("record_until_killed.py")
    command = [sys.executable, str(script), str(paths.root), str(count), "1"]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    # The last line of a killed process may be cut off.
    acknowledged = [line for line in said.split("\n") if len(line) == 36]
    assert len(acknowledged) > count / 4

    outcome = "no acknowledged picture is lost"
    with faults.inject("SIGKILL while it records", outcome, count), Store.open(paths) as store:
        scan = [row["id"] for row in store.database.read("SELECT id::VARCHAR AS id FROM images")]
        assert len(scan) == len(set(scan))
        assert set(acknowledged) <= set(scan)
        for image_id in scan:
            assert store.images.get(image_id).id == image_id
        jobs = store.database.read("SELECT id::VARCHAR AS id FROM jobs")
        for row in jobs:
            assert store.jobs.get(row["id"]).record.id == row["id"]


@pytest.mark.timeout(0)
def test_after_every_kill_a_search_finds_what_a_scan_finds(
    tmp_path: Path, count: int, faults: Any
) -> None:
    script = Path(__file__).with_name("index_until_killed.py")
    command = [sys.executable, str(script), str(tmp_path / "home"), str(count), "1"]
    with faults.inject("SIGKILL while it keeps the index", "found is what a scan finds", count):
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        assert int(said) >= count // 5
