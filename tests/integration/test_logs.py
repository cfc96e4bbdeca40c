"""One call through all processes, told by the logs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import long_job, processes_of

from mysticanvas import Canvas, errors
from mysticanvas.logs.file import rotated

PROMPT = "a wombat that nobody else draws"
NEGATIVE = "ugly platypus"


def logs(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mysticanvas", "logs", "--home", str(home), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def told(home: Path, *words: str) -> list[dict[str, Any]]:
    done = logs(home, "--json", *words)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def told_until(home: Path, event: str, *words: str) -> list[dict[str, Any]]:
    """The lines, as soon as this event is among them: a worker's travel over a pipe."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        lines = told(home, *words)
        if event in events(lines):
            return lines
    raise AssertionError(f"no {event} in {lines}")


def events(lines: list[dict[str, Any]]) -> list[str]:
    return [line["event"] for line in lines]


def test_a_generate_is_one_story_over_the_processes(
    canvas: Canvas, shared_home: Path, tiny_sd: Path
) -> None:
    job = canvas.submit("x", preset=str(tiny_sd), num_inference_steps=2)
    job.result(timeout=120)
    lines = told_until(shared_home, "job_succeeded", "--job", job.id[-8:])
    names = events(lines)
    for earlier, later in (
        ("job_queued", "job_started"),
        ("job_started", "generate_started"),
        ("generate_started", "generate_done"),
        ("generate_done", "job_succeeded"),
    ):
        assert names.index(earlier) < names.index(later), names
    assert {line["process"] for line in lines} == {"orchestrator", "worker-image"}
    (request,) = {line["request_id"] for line in lines}
    assert {line["job_id"] for line in lines} == {job.id}
    assert told(shared_home, "--request", request) == lines
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)


def test_an_error_names_the_request_that_its_story_is_found_by(
    canvas: Canvas, shared_home: Path
) -> None:
    with pytest.raises(errors.InvalidRequest) as refused:
        canvas.generate("x", preset="/no/such/folder")
    lines = told(shared_home, "--request", refused.value.request_id)
    assert [(line["event"], line["code"]) for line in lines] == [
        ("request_refused", "invalid_request")
    ]


@pytest.mark.fault("SIGABRT of a worker", "its last words are in the job's story")
def test_a_crash_and_the_second_attempt_belong_to_the_same_story(
    canvas: Canvas, shared_home: Path, tiny_sd: Path
) -> None:
    job = canvas.submit("x", **long_job(tiny_sd))
    next(event for event in job.events() if event.type == "progress" and job.progress > 0.1)
    worker = canvas.workers["image"]
    os.kill(worker.pid, signal.SIGABRT)
    job.result(timeout=120)
    lines = told_until(shared_home, "job_succeeded", "--job", job.id)
    names = events(lines)
    assert [line["attempt"] for line in lines if line["event"] == "job_started"] == [1, 2]
    assert names.count("generate_started") == 2
    assert names.index("job_requeued") < len(names) - 1 - names[::-1].index("job_started")
    assert len({line["request_id"] for line in lines}) == 1
    # The interpreter's last words, from the worker that crashed over this job.
    words = [line for line in lines if "Fatal Python error: Aborted" in str(line.get("text"))]
    assert [line["pid"] for line in words] == [worker.pid]
    assert "Fatal Python error: Aborted" in logs(shared_home, "--job", job.id).stdout
    ended = [line for line in told(shared_home, "-n", "999") if line["event"] == "worker_ended"]
    assert ended[-1]["last_words"]


@pytest.mark.fault("SIGABRT of the orchestrator", "the next tells its last words")
def test_the_last_words_of_an_orchestrator_are_told_by_the_next(home: Path) -> None:
    with Canvas(home=home) as canvas:
        pid = canvas.health().pid
        os.kill(pid, signal.SIGABRT)
        assert canvas.health().pid != pid
        canvas.shutdown()
    (left,) = [line for line in told(home) if line["event"] == "earlier_output"]
    assert "Fatal Python error: Aborted" in left["text"]
    assert (home / "logs" / "orchestrator.out").read_bytes() == b""


def test_exports_and_reproductions_have_their_stories(
    canvas: Canvas, shared_home: Path, tiny_sd: Path, tmp_path: Path
) -> None:
    image = canvas.generate("x", preset=str(tiny_sd), num_inference_steps=2)
    canvas.reproduce(image)
    canvas.export(tmp_path / "out").result(timeout=120)
    for kind in ("reproduce", "export"):
        (job,) = [job for job in canvas.jobs.list(kind=kind) if job.status == "succeeded"][:1]
        lines = told_until(shared_home, "job_succeeded", "--job", job.id)
        assert {"job_queued", "job_started", "job_succeeded"} <= set(events(lines))
        assert len({line["request_id"] for line in lines}) == 1


def test_no_secret_is_in_any_log_and_prompts_are_at_debug_level_alone(
    make_home: Callable[[], Path], tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for level, shown in (("debug", True), ("INFO", False)):
        monkeypatch.setenv("MYSTICANVAS_LOG_LEVEL", level)
        home = make_home()
        with Canvas(home=home) as canvas:
            token = json.loads((home / "run" / "orchestrator.json").read_text())["token"]
            prompt = {"prompt": f"{PROMPT} {'very ' * 100}", "negative_prompt": NEGATIVE}
            small = {"preset": str(tiny_sd), "num_inference_steps": 2}
            image = canvas.generate(**prompt, **small)
            canvas.search("wombat")
            with pytest.raises(errors.MystiCanvasError):
                canvas.generate(**prompt, preset="/no/such/folder")
            canvas.reproduce(image)
            canvas.shutdown()
        files = [path for path in home.rglob("*") if path.is_file() and path.parent.name == "logs"]
        assert {"orchestrator.jsonl", "worker-image.jsonl"} <= {path.name for path in files}
        written = {path: path.read_bytes() for path in files}
        for path, content in written.items():
            assert token.encode() not in content, path
            assert b"Bearer" not in content, path
        everything = b"".join(written.values())
        assert (PROMPT.encode() in everything) is shown
        levels = {
            json.loads(line)["level"] for line in everything.splitlines() if PROMPT.encode() in line
        }
        assert levels == ({"debug"} if shown else set())
        assert NEGATIVE.encode() not in everything
        # Nor is the token anywhere else but in the runtime file, which is gone by now.
        for path in home.rglob("*"):
            assert not path.is_file() or token.encode() not in path.read_bytes(), path


def test_follow_shows_what_is_added_over_a_rotation(
    canvas: Canvas, shared_home: Path, tiny_sd: Path
) -> None:
    command = [sys.executable, "-m", "mysticanvas", "logs", "--home", str(shared_home)]
    command += ["--follow", "--json", "--lines", "1000", "--level", "info"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        jobs = []
        try:
            log = shared_home / "logs" / "worker-image.jsonl"
            for _ in range(2):
                jobs.append(canvas.submit("x", preset=str(tiny_sd), num_inference_steps=2))
                jobs[-1].result(timeout=120)
                log.replace(rotated(log)[1]) if len(jobs) == 1 else None
            done = {job.id: set() for job in jobs}
            for line in follower.stdout:
                entry = json.loads(line)
                done.get(entry.get("job_id"), set()).add(entry["event"])
                if all({"generate_done", "job_succeeded"} <= seen for seen in done.values()):
                    break
        finally:
            follower.send_signal(signal.SIGINT)
        assert follower.wait(30) == 130


def test_reading_needs_no_orchestrator_and_starts_none(make_home: Callable[[], Path]) -> None:
    home = make_home()
    assert logs(home).stdout == ""
    refused = logs(home, "--job", "0199aaaa")
    assert (refused.returncode, processes_of(home)) == (1, [])
    assert "No line" in refused.stderr
    assert logs(home, "--job", "x", "--request", "y").returncode == 2
