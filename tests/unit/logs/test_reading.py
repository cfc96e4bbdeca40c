"""Which lines are read, from which files, in which order."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mysticanvas.contracts.ids import new_id
from mysticanvas.errors import InvalidRequest, NotFound
from mysticanvas.logs import reading, story
from mysticanvas.logs.file import LogFile
from mysticanvas.logs.reading import Entry
from mysticanvas.logs.story import Kind


def line(second: int, **members: Any) -> bytes:
    head = {"at": f"2026-05-04T10:00:{second:02d}.000000Z", "level": "info", "event": "x"}
    return json.dumps(head | members).encode() + b"\n"


def seconds(entries: list[Entry]) -> list[int]:
    return [int(entry.members["at"][17:19]) for entry in entries]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two logs that took turns; one was rotated at every fourth line."""
    one = LogFile(tmp_path / "one.jsonl", max_bytes=4 * len(line(0)))
    two = LogFile(tmp_path / "two.jsonl")
    for second in range(0, 20, 2):
        one.write(line(second))
        two.write(line(second + 1))
    (tmp_path / "orchestrator.out").write_text("no log")
    return tmp_path


@pytest.mark.parametrize("count", [0, 1, 3, 20, 100])
def test_the_newest_lines_come_from_all_logs_in_order(folder: Path, count: int) -> None:
    assert seconds(reading.newest(folder, count, lambda _: True)) == list(range(20))[20 - count :]


def test_lines_that_are_not_wanted_do_not_count(folder: Path) -> None:
    even = reading.newest(folder, 3, lambda entry: entry.members["at"][18] in "02468")
    assert seconds(even) == [14, 16, 18]


def test_lines_longer_than_a_block_and_lines_cut_off_are_no_trouble(tmp_path: Path) -> None:
    long = line(1, text="x" * 200_000)
    (tmp_path / "a.jsonl").write_bytes(line(0) + b"junk\n" + long + b'{"at": 5}\n' + line(2)[:30])
    assert seconds(reading.newest(tmp_path, 9, lambda _: True)) == [0, 1]


def test_the_newest_lines_need_only_the_end_of_the_newest_file(folder: Path) -> None:
    for number in (1, 2):
        old = folder / f"one.jsonl.{number}"
        old.unlink()
        old.mkdir()  # whoever reads it gets an error
    assert seconds(reading.newest(folder, 2, lambda _: True)) == [18, 19]


def test_files_from_before_a_request_are_not_read(folder: Path) -> None:
    now = reading.made_at(new_id())
    os.utime(folder / "one.jsonl.1", (0, 0))
    assert reading.parts(folder / "one.jsonl", now) == [
        folder / "one.jsonl",
        folder / "one.jsonl.2",
    ]
    assert reading.made_at("123e4567") is None


def test_the_story_of_a_request_and_of_a_job_over_rotated_files(folder: Path) -> None:
    request, other, job, second_job = (new_id() for _ in range(4))
    one = LogFile(folder / "one.jsonl", max_bytes=300)
    two = LogFile(folder / "two.jsonl")
    one.write(line(30, request_id=request, event="asked"))
    one.write(line(31, request_id=request, job_id=job))
    two.write(line(33, request_id=request, job_id=job))
    two.write(line(34, request_id=request, job_id=second_job))
    two.write(line(35, request_id=other, text=f"{job} is mentioned"))
    one.write(line(32, request_id=request, job_id=job))
    assert seconds(story.find(folder, "request", request).read(folder)) == [30, 31, 32, 33, 34]
    for part in (job, job[-8:], job[-4:]):
        found = story.find(folder, "job", part)
        assert (found.id, found.requests) == (job, {request})
        assert seconds(found.read(folder)) == [30, 31, 32, 33]


@pytest.mark.parametrize("kind", ["request", "job"])
def test_a_call_is_found_though_its_files_seem_to_be_older(tmp_path: Path, kind: Kind) -> None:
    call, other = new_id(), new_id()
    log = LogFile(tmp_path / "one.jsonl")
    for second, whose in enumerate((call, other, call)):
        log.write(line(second, **{f"{kind}_id": whose}))
    os.utime(tmp_path / "one.jsonl", (0, 0))
    assert seconds(story.find(tmp_path, kind, call).read(tmp_path)) == [0, 2]
    with pytest.raises(NotFound):
        story.find(tmp_path, kind, new_id())


def test_lines_of_a_log_stay_in_order_though_the_clock_was_set_back(tmp_path: Path) -> None:
    call = new_id()
    one = LogFile(tmp_path / "one.jsonl", max_bytes=2 * len(line(0, request_id=call)))
    two = LogFile(tmp_path / "two.jsonl")
    for second in (10, 50, 51, 20, 22):
        one.write(line(second, request_id=call))
    for second in (15, 21, 23):
        two.write(line(second, request_id=call))
    # The times from before the clock was set mean nothing beside those of others.
    in_order = [10, 15, 50, 51, 20, 21, 22, 23]
    assert seconds(story.find(tmp_path, "request", call).read(tmp_path)) == in_order
    assert seconds(reading.newest(tmp_path, 6, lambda _: True)) == in_order[2:]


def test_a_part_of_no_id_or_of_several_is_refused(folder: Path) -> None:
    log = LogFile(folder / "two.jsonl")
    for tail in ("aaaa", "bbbb"):
        log.write(line(40, job_id=f"0199aaaa-0000-7000-8000-00000000{tail}"))
    with pytest.raises(InvalidRequest, match="2 jobs"):
        story.find(folder, "job", "0199aaaa")
    for part in ("bbbb", " BBBB "):
        assert story.find(folder, "job", part).id.endswith("bbbb")
    with pytest.raises(NotFound, match="request bbbb"):
        story.find(folder, "request", "bbbb")
    with pytest.raises(InvalidRequest, match="no id"):
        story.find(folder, "job", "not an id")


def test_levels(folder: Path) -> None:
    entry = Entry.of(line(0, level="warning"))
    assert entry is not None
    assert [story.at_least(level, entry) for level in ("debug", "warning", "error")] == [
        True,
        True,
        False,
    ]
