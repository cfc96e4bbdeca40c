"""What real children put out: floods, last words, whose it is."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mysticanvas import processes
from mysticanvas.environment import child_environment
from mysticanvas.logs.capture import BURST_BYTES, LAST_WORDS, Budget, Capture, marked
from mysticanvas.logs.file import LogFile

Run = Callable[[str], tuple[list[dict[str, Any]], list[str]]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a program as a child, and gives its log lines and its last words."""

    def run(code: str) -> tuple[list[dict[str, Any]], list[str]]:
        (tmp_path / "child.py").write_text(code)
        environment, mark = marked(
            child_environment({"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[3]}"})
        )
        spawned = processes.spawn("child", [], environment=environment)
        spawned.ready.close()
        log = LogFile(tmp_path / "child.jsonl")
        assert spawned.output is not None
        capture = Capture(spawned.output, log, "child", spawned.process.pid, mark)
        spawned.process.wait(60)
        last_words = capture.finish(60)
        lines = (tmp_path / "child.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines], last_words

    return run


def texts(lines: list[dict[str, Any]]) -> list[str]:
    return [line["text"] for line in lines if line["event"] == "output"]


def test_prints_c_output_and_log_lines_become_lines_in_order(run: Run) -> None:
    lines, _ = run(
        """
import ctypes, os, sys
from mysticanvas import logs, processes
logs.configure(None, "child")
log = logs.get("mysticanvas.test")
print("printed")
log.info("said", number=1)
os.write(2, b"from C")
log.info("said", number=2)
ctypes.CDLL(None).puts(b"buffered by C")
processes.flush_c_output()
os.write(2, b"10%\\r 50%\\r100%\\n\\n   \\n")
os.write(2, b"Authorization: Bearer abc-123 \\xff\\n")
import warnings
warnings.warn("careful")
"""
    )
    shown = [line.get("text", line.get("number")) for line in lines[:-1]]
    assert shown == [
        "printed", 1, "from C", 2, "buffered by C", "100%", "Authorization: Bearer [hidden] \ufffd"
    ]  # fmt: skip
    assert "careful" in lines[-1]["event"]
    assert lines[-1]["level"] == "warning"
    assert {(line["process"], line["level"]) for line in lines[:-1]} == {("child", "info")}
    assert len({line["pid"] for line in lines}) == 1
    assert [list(line)[:5] for line in lines] == [["at", "level", "process", "pid", "event"]] * 8


def test_output_belongs_to_whoever_claimed_it(run: Run) -> None:
    lines, _ = run(
        """
import ctypes
from mysticanvas import logs
from mysticanvas.logs import capture
logs.configure(None, "child")
print("before")
with capture.claim(request_id="r-1", job_id="j-1", attempt=2, level="x"):
    print("during")
    ctypes.CDLL(None).puts(b"during, too")
print("after")
"""
    )
    assert [(line["text"], line.get("request_id"), line.get("job_id")) for line in lines] == [
        ("before", None, None),
        ("during", "r-1", "j-1"),
        ("during, too", "r-1", "j-1"),
        ("after", None, None),
    ]


def test_what_only_looks_like_a_line_of_the_child_is_output(run: Run) -> None:
    lines, _ = run(
        """
from mysticanvas import logs
logs.configure(None, "child")
print('{"at":"","whose":{"job_id":"another"}}')
print('a model: {"at":"","level":"error","process":"orchestrator","pid":1,"event":"forged"}')
print("left open", end="", flush=True)
logs.get("mysticanvas.test").info("said")
"""
    )
    assert [line["event"] for line in lines] == ["output", "output", "output", "said"]
    assert {(line["process"], line["level"], line.get("job_id")) for line in lines} == {
        ("child", "info", None)
    }


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("os.abort()", "Fatal Python error: Aborted"),
        ("ctypes.string_at(0)", "Fatal Python error: Segmentation fault"),
        ("raise ValueError('the reason')", "ValueError: the reason"),
        ("os.write(2, b'terminate called'); os.kill(os.getpid(), 9)", "terminate called"),
    ],
)
def test_the_last_words_of_a_crash_are_kept(run: Run, end: str, words: str) -> None:
    lines, last_words = run(f"import ctypes, os\n{end}\n")
    assert words in last_words
    assert words in texts(lines)


DEEP = """
import os, sys, threading
def deep(depth):
    if depth:
        deep(depth - 1)
    else:
        os.write(2, b"loading: 50%|##  |\\r")
        os.write(2, b"GGML_ASSERT(ne[0] % 32 == 0) failed" + END)
        os.abort()
for _ in range(3):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
"""


@pytest.mark.parametrize("end", [b"\n", b""])
@pytest.mark.parametrize("flood", [0, BURST_BYTES])
def test_what_was_said_before_a_crash_is_among_the_last_words_and_where_it_was_in_the_log(
    run: Run, end: bytes, flood: int
) -> None:
    said = f"END = {end!r}\nfor _ in range({flood}): print('flood')\n"
    lines, last_words = run(f"{DEEP}{said}deep({2 * LAST_WORDS})\n")
    assert last_words[-2:] == ["GGML_ASSERT(ne[0] % 32 == 0) failed", "Fatal Python error: Aborted"]
    assert any("in deep" in text for text in texts(lines))


def test_a_process_that_goes_on_after_what_looks_like_a_crash_has_other_last_words(
    run: Run,
) -> None:
    _, last_words = run(
        "print('Fatal Python error: of a child')\nprint('  File \"x\"')\nprint('well again')\n"
    )
    assert last_words == ["Fatal Python error: of a child", '  File "x"', "well again"]


class Unlucky(LogFile):
    """A log that fails over a line, as none is known to."""

    def write(self, content: bytes) -> None:
        if b"unlucky" in content:
            raise RuntimeError("unlucky")
        super().write(content)


@pytest.mark.parametrize("line", [b'{"at":' + b"[" * 100_000, b'{"at":"unlucky"}'])
def test_no_line_ends_the_reading(line: bytes, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    capture = Capture(os.fdopen(reader, "rb"), Unlucky(tmp_path / "child.jsonl"), "child", 1)
    with os.fdopen(writer, "wb") as output:
        output.write(line + b"\nand on\n")
    assert capture.finish(60)[-1] == "and on"


def test_a_flood_neither_blocks_nor_fills_the_disk(run: Run, tmp_path: Path) -> None:
    began = time.monotonic()
    lines, last_words = run(
        """
import os
from mysticanvas import logs
logs.configure(None, "child")
block = b"".join(b"flood %06d\\n" % number for number in range(5000))
for number in range(400):
    os.write(2, block)
    if number % 100 == 0:
        logs.get("mysticanvas.test").info("said", number=number)
os.write(2, b"the very end")
"""
    )
    assert time.monotonic() - began < 60
    assert [line["number"] for line in lines if line["event"] == "said"] == list(range(0, 400, 100))
    (dropped,) = [line for line in lines if line["event"] == "output_dropped"]
    kept = texts(lines)
    assert (tmp_path / "child.jsonl").stat().st_size < 2 * BURST_BYTES
    assert dropped["lines"] + len(kept) - LAST_WORDS == 2_000_000 + 1
    assert dropped["bytes"] > 23_000_000
    assert kept[-1] == last_words[-1] == "the very end"


def test_a_line_without_an_end_is_kept_in_part(run: Run) -> None:
    lines, _ = run("import os\nfor _ in range(100): os.write(2, b'x' * 100_000)\n")
    assert all(len(text) < 5_000 for text in texts(lines))
    assert texts(lines)[0].startswith("xxxx")


def test_a_child_goes_on_when_the_disk_is_gone(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    log = LogFile(tmp_path / "none" / "child.jsonl")
    capture = Capture(os.fdopen(reader, "rb"), log, "child", 1)
    for number in range(10_000):
        os.write(writer, b"line %d\n" % number)
    os.close(writer)
    assert capture.finish(60)[-1] == "line 9999"


def test_a_budget_that_is_used_up_opens_again_when_it_is_whole() -> None:
    now = 0.0
    budget = Budget(burst=100, rate=10, clock=lambda: now)
    assert budget.spend(60)
    assert not budget.spend(60)
    now = 5.0
    assert not budget.spend(1)
    now = 6.0
    assert budget.spend(60)
    assert budget.spend(40)
    now = 7.0
    assert budget.spend(10)
    assert not budget.spend(1)
