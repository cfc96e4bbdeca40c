"""The commands for the store, beside an orchestrator and without one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import processes_of

from mysticanvas import Canvas


def mysticanvas(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mysticanvas", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_backup_while_it_runs_and_restore_which_stops_it(
    home: Path, tmp_path: Path, tiny_sd: Path
) -> None:
    backup = tmp_path / "backup.duckdb"
    with Canvas(home=home) as canvas:
        first = canvas.generate("one", preset=str(tiny_sd), num_inference_steps=2)
        pid = canvas.health().pid

        done = mysticanvas("backup", "--home", home, backup)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{backup}: 1 pictures, ")
        assert canvas.health().pid == pid
        again = mysticanvas("backup", "--home", home, backup)
        assert again.returncode == 1
        assert "none is overwritten" in again.stderr

        second = canvas.generate("two", preset=str(tiny_sd), num_inference_steps=2)
        refused = mysticanvas("restore", "--home", home, backup)
        assert refused.returncode == 1
        assert "--force" in refused.stderr
        assert canvas.health().pid == pid

    restored = mysticanvas("restore", "--home", home, backup)
    assert restored.returncode == 0, restored.stderr
    assert f"restored {backup}" in restored.stdout
    assert "Read back from image files: 1 pictures" in restored.stdout
    assert processes_of(home) == []
    with Canvas(home=home) as canvas:
        assert [image.id for image in canvas.images()] == [second.id, first.id]
        canvas.shutdown()


def test_a_damaged_store_says_the_command_that_mends_it(home: Path) -> None:
    assert mysticanvas("migrate", "--home", home).stdout.count("from schema version 0 to ") == 1
    assert "already" in mysticanvas("migrate", "--home", home).stdout
    (home / "mysticanvas.duckdb").write_bytes(b"this is no database" * 1000)
    refused = mysticanvas("migrate", "--home", home)
    assert refused.returncode == 1
    assert f"mysticanvas restore --from-images --home '{home}'" in refused.stderr
    mended = mysticanvas("restore", "--from-images", "--home", home)
    assert mended.returncode == 0, mended.stderr
    assert "a new store" in mended.stdout
    assert "already" in mysticanvas("migrate", "--home", home).stdout


@pytest.mark.parametrize("words", [["restore"], ["restore", "x", "--latest"], ["backup"]])
def test_wrong_usage(words: list[str]) -> None:
    assert mysticanvas(*words).returncode == 2
