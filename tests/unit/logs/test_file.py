"""Log files: rotation, and disks that are full."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mysticanvas.logs.file import LogFile, rotated


def numbers(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().splitlines()]


def test_a_log_is_rotated_and_only_so_many_parts_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    log = LogFile(path, max_bytes=40, kept=2)
    for number in range(10, 100):
        log.write(b"%d\n" % number)
    assert sorted(tmp_path.iterdir()) == sorted(rotated(path, 2))
    assert all(each.stat().st_size <= 40 for each in tmp_path.iterdir())
    kept = [number for each in reversed(rotated(path, 2)) for number in numbers(each)]
    assert kept == list(range(100 - len(kept), 100))
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_old_log_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for number in (1, 2):
        log = LogFile(path)
        log.write(b"%d\n" % number)
        log.close()
    assert numbers(path) == [1, 2]


def test_two_processes_that_share_a_log_rotate_it_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    one, two = LogFile(path, max_bytes=8, kept=5), LogFile(path, max_bytes=8, kept=5)
    for number in range(10, 16):
        one.write(b"%d\n" % number)
        two.write(b"%d\n" % number)
    assert not rotated(path, 6)[6].exists()
    found = sorted(number for each in tmp_path.iterdir() for number in numbers(each))
    assert found == sorted([*range(10, 16), *range(10, 16)])


def test_a_log_whose_folder_is_gone_drops_lines_and_says_so_later(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "logs" / "a.jsonl")
    log.write(b"1\n")
    log.write(b"2\n")
    (tmp_path / "logs").mkdir()
    log.write(b"3\n")
    notice, line = (tmp_path / "logs" / "a.jsonl").read_text().splitlines()
    assert (json.loads(notice)["event"], json.loads(notice)["lines"]) == ("log_lines_dropped", 2)
    assert line == "3"


@pytest.mark.parametrize("limit", [1000, 1005, 1100])
def test_a_line_that_only_half_fits_is_taken_back(tmp_path: Path, limit: int) -> None:
    """Under a limit of the process, as a full disk would do it, and then without."""
    code = """
        import resource, sys
        from pathlib import Path
        from mysticanvas.logs.file import LogFile
        log, limit = LogFile(Path(sys.argv[1])), int(sys.argv[2])
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
        for number in range(200):
            log.write(b'"%08d"\\n' % number)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        log.write(b'"end"\\n')
    """
    path = tmp_path / "a.jsonl"
    command = [sys.executable, "-c", textwrap.dedent(code), str(path), str(limit)]
    subprocess.run(command, check=True)
    *lines, notice, end = map(json.loads, path.read_text().splitlines())
    assert lines == [f"{number:08d}" for number in range(limit // 11)]
    assert notice["lines"] == 200 - len(lines)
    assert notice["reason"]
    assert end == "end"
