"""New lines of logs: every one, once, over rotations."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from mysticanvas.logs.file import LogFile
from mysticanvas.logs.following import Following


def line(number: int) -> bytes:
    return json.dumps({"at": f"{number:08d}", "number": number}).encode() + b"\n"


def numbers(following: Following) -> list[int]:
    return [entry.members["number"] for entry in following.read()]


def test_what_is_there_is_passed_over_and_a_new_log_is_read_whole(tmp_path: Path) -> None:
    old, new = LogFile(tmp_path / "old.jsonl"), LogFile(tmp_path / "new.jsonl")
    old.write(line(1))
    following = Following(tmp_path)
    assert numbers(following) == []
    old.write(line(4))
    new.write(line(2))
    new.write(line(3))
    assert numbers(following) == [2, 3, 4]
    assert numbers(following) == []
    following.close()


def test_lines_of_a_log_stay_in_order_though_the_clock_was_set_back(tmp_path: Path) -> None:
    following = Following(tmp_path)
    for name, given in (("one", [5, 9, 2, 4]), ("two", [1, 3])):
        for number in given:
            LogFile(tmp_path / f"{name}.jsonl").write(line(number))
    assert numbers(following) == [1, 5, 9, 2, 3, 4]
    following.close()


def test_several_rotations_between_two_looks(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.jsonl", max_bytes=4 * len(line(0)))
    log.write(line(0))
    following = Following(tmp_path)
    for number in range(1, 14):
        log.write(line(number))
    assert numbers(following) == list(range(1, 14))
    following.close()


def test_a_line_that_is_half_written_is_waited_for(tmp_path: Path) -> None:
    following = Following(tmp_path)
    with (tmp_path / "a.jsonl").open("wb", buffering=0) as file:
        file.write(line(1) + line(2)[:10])
        assert numbers(following) == [1]
        file.write(line(2)[10:])
        assert numbers(following) == [2]
    following.close()


def test_no_line_is_lost_while_another_process_writes_and_rotates(tmp_path: Path) -> None:
    code = """
        import json, sys, time
        from pathlib import Path
        from mysticanvas.logs.file import LogFile
        log = LogFile(Path(sys.argv[1]), max_bytes=20_000)
        for number in range(5000):
            log.write(json.dumps({"at": f"{number:08d}", "number": number}).encode() + b"\\n")
            if number % 100 == 0:
                time.sleep(0.01)
    """
    following = Following(tmp_path)
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "a.jsonl")]
    writer = subprocess.Popen(command)
    seen: list[int] = []
    deadline = time.monotonic() + 60
    while len(seen) < 5000 and time.monotonic() < deadline:
        seen += numbers(following)
    assert writer.wait(60) == 0
    assert seen == list(range(5000))
    following.close()
