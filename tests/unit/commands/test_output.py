"""Output that nobody takes: whoever reads it has gone, or the disk is full."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

COMMANDS = {"status --json": 3, "status": 3, "stop --json": 0, "--help": 0, "logs --help": 0}
ENOUGH = pytest.mark.parametrize("command", COMMANDS)


def ended(command: str, home: Path, output: int | IO[str] | None) -> tuple[int, str]:
    """The exit code of a command, and what it says on standard error."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    told = subprocess.run(
        [sys.executable, "-m", "mysticanvas", *command.split()],
        env={**buffered, "MYSTICANVAS_HOME": str(home)},
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return told.returncode, told.stderr


@ENOUGH
def test_who_has_seen_enough_changes_neither_the_code_nor_is_told(
    command: str, tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert ended(command, tmp_path, writer) == (COMMANDS[command], "")
    finally:
        os.close(writer)


@ENOUGH
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
def test_a_full_disk_is_an_error_in_one_line(command: str, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        code, said = ended(command, tmp_path, full)
    assert code == 1
    assert said == "mysticanvas: [Errno 28] No space left on device\n"


def test_output_may_be_closed(tmp_path: Path) -> None:
    command = f"{sys.executable} -m mysticanvas stop --home {tmp_path} >&-"
    told = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")
