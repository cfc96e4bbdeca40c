"""An image worker as a process: what it answers, and what ends it."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tasks import make_task
from worker_process import TOKEN, Worker

from mysticanvas import processes
from mysticanvas.contracts.health import WorkerState
from mysticanvas.contracts.worker import Failed, Finished, GenerateTask, Made, Previewed, Progressed
from mysticanvas.environment import child_environment

LongTask = Callable[[Worker], GenerateTask]
LONG: dict[str, Any] = {"num_inference_steps": 900}
"""A job of many seconds, for tests that end it."""


def made(messages: list[Any]) -> list[Made]:
    return [message for message in messages if isinstance(message, Made)]


def test_it_answers_before_its_engine_is_imported(worker: Worker) -> None:
    assert worker.first_health.state is WorkerState.STARTING
    assert worker.first_health.models == []
    assert worker.health().state is WorkerState.READY
    # torch and diffusers alone are 300 MiB.
    assert worker.health().memory_mib > worker.first_health.memory_mib + 100


def test_health_says_of_which_kind_it_is(any_worker: Worker) -> None:
    health = any_worker.health()
    assert (health.process, health.kind) == ("worker", any_worker.engine)
    assert health.state is WorkerState.READY
    assert health.queue is None
    assert health.workers == []


def test_the_token_is_not_to_be_read_from_outside(any_worker: Worker) -> None:
    process = psutil.Process(any_worker.pid)
    assert TOKEN not in " ".join(process.cmdline())
    assert TOKEN not in str(process.environ())


def test_load_generate_unload(worker: Worker, tiny_sd: Path) -> None:
    task = make_task(tiny_sd, num_images=2)
    loaded = worker.http.post("/v1/load", json={"model": task.model.model_dump()}).json()
    assert (loaded["device"], loaded["dtype"]) == ("cpu", "float32")
    assert worker.health().models == [task.model.digest]
    messages = worker.generate(task)
    assert [message.type for message in messages[-3:]] == ["made", "made", "finished"]
    for message in made(messages):
        assert message.file is not None
        data = (worker.home / message.file.path).read_bytes()
        assert hashlib.sha256(data).hexdigest() == message.file.sha256
    assert worker.health().state is WorkerState.READY
    assert worker.http.post("/v1/unload").json()["models"] == []


def test_the_same_task_gives_the_same_pixels(worker: Worker, tiny_sdxl: Path) -> None:
    pixels = {made(worker.generate(make_task(tiny_sdxl)))[0].pixels_sha256 for _ in range(2)}
    assert len(pixels) == 1


def test_the_request_id_is_on_the_lines_of_the_engine(worker: Worker, tiny_sd: Path) -> None:
    worker.http.post("/v1/unload")
    messages = worker.generate(make_task(tiny_sd), **{"X-Request-ID": "request-of-this-test"})
    assert isinstance(messages[-1], Finished)
    loads = [line for line in worker.log_lines() if line["event"] == "model_loaded"]
    assert loads[-1]["request_id"] == "request-of-this-test"
    assert loads[-1]["process"] == "worker-image"


def test_the_log_holds_no_prompt(worker: Worker, tiny_sd: Path) -> None:
    worker.generate(make_task(tiny_sd, prompt="unmistakable words " * 50))
    output = worker.log.read_text() + (worker.home / "output.log").read_text()
    assert "unmistakable" not in output


def test_closing_the_stream_cancels_and_leaves_no_file(worker: Worker, tiny_sd: Path) -> None:
    files, before = worker.files(), worker.health().last_error
    with worker.stream(make_task(tiny_sd, **LONG)) as messages:
        assert isinstance(next(messages), Progressed)
    after = worker.generate(make_task(tiny_sd))  # waits for the cancelled one, not for its end
    assert isinstance(after[-1], Finished)
    assert len(worker.files() - files) == 1
    assert worker.health().last_error == before


def test_a_second_generate_is_a_conflict(any_painter: Worker, long_task: LongTask) -> None:
    worker, task = any_painter, long_task(any_painter)
    with worker.stream(task) as messages:
        next(messages)
        assert worker.health().state is WorkerState.BUSY
        response = worker.http.post("/v1/generate", json=task.model_dump(mode="json"))
        assert (response.status_code, response.json()["code"]) == (409, "conflict")
        assert worker.health().state is WorkerState.BUSY


def test_closing_the_stream_cancels_what_any_engine_does(
    any_painter: Worker, long_task: LongTask
) -> None:
    before = any_painter.health().last_error
    with any_painter.stream(long_task(any_painter)) as messages:
        assert isinstance(next(messages), Progressed)
    health = any_painter.wait_imported()  # a call waits for the cancelled one, not for its end
    assert health.state in (WorkerState.READY, WorkerState.BUSY)
    assert any_painter.health().last_error == before


def test_previews_come_while_someone_listens(worker: Worker, tiny_sd: Path) -> None:
    def switch(enabled: bool) -> None:
        assert worker.http.put("/v1/previews", json={"enabled": enabled}).status_code == 200

    with worker.stream(make_task(tiny_sd, **LONG)) as messages:
        for message in messages:
            assert not isinstance(message, Previewed)
            if isinstance(message, Progressed) and message.progress.step:
                break
        switch(True)
        preview = next(message for message in messages if isinstance(message, Previewed))
        assert len(preview.webp) > 50
        switch(False)
        quiet = 0
        for message in messages:
            quiet = 0 if isinstance(message, Previewed) else quiet + 1
            if quiet == 3:
                break
        assert quiet == 3


def test_a_bad_model_is_told_and_the_worker_goes_on(
    worker: Worker, tiny_sd: Path, tmp_path: Path
) -> None:
    last = worker.generate(make_task(tmp_path), **{"X-Request-ID": "request-0123"})[-1]
    assert isinstance(last, Failed)
    assert (last.problem.code, last.problem.request_id) == ("model_file_error", "request-0123")
    health = worker.health()
    assert health.state is WorkerState.READY
    assert health.last_error is not None
    assert health.last_error.code == "model_file_error"
    assert isinstance(worker.generate(make_task(tiny_sd))[-1], Finished)


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process's memory")
def test_running_out_of_memory_is_told_and_the_worker_goes_on(
    worker: Worker, tiny_sd: Path
) -> None:
    assert isinstance(worker.generate(make_task(tiny_sd))[-1], Finished)
    unlimited = resource.prlimit(worker.pid, resource.RLIMIT_AS)
    room = psutil.Process(worker.pid).memory_info().vms + (48 << 20)
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (room, unlimited[1]))
    large = make_task(tiny_sd, num_images=64, width=512, height=512)
    try:
        last = worker.generate(large)[-1]
    finally:
        resource.prlimit(worker.pid, resource.RLIMIT_AS, unlimited)
    assert isinstance(last, Failed)
    assert last.problem.code == "out_of_memory"
    assert isinstance(worker.generate(make_task(tiny_sd))[-1], Finished)


@pytest.mark.fault("SIGTERM of a worker as it works", "it ends cleanly")
def test_sigterm_cancels_what_runs_and_ends_it_cleanly(
    any_fresh_painter: Worker, long_task: LongTask
) -> None:
    fresh_worker = any_fresh_painter
    with fresh_worker.stream(long_task(fresh_worker)) as messages:
        next(message for message in messages if message.type == "progress")
        fresh_worker.spawned.process.send_signal(signal.SIGTERM)
        last = list(messages)[-1]
    assert isinstance(last, Failed)
    assert last.problem.code == "job_cancelled"
    assert fresh_worker.spawned.process.wait(20) == 0
    assert fresh_worker.files() == set()


@pytest.mark.fault("the pipe to a worker's parent breaks", "the worker ends")
def test_the_end_of_its_input_ends_it(any_fresh_worker: Worker) -> None:
    stdin = any_fresh_worker.spawned.process.stdin
    assert stdin is not None
    stdin.close()
    assert any_fresh_worker.spawned.process.wait(20) == 1


@pytest.mark.fault("SIGKILL of a worker's parent", "the worker ends")
def test_it_does_not_outlive_its_parent(tmp_path: Path) -> None:
    """A process between us and the worker is killed; nothing of it can clean up."""
    (tmp_path / "images").mkdir()
    program = textwrap.dedent("""
        import os, sys, time
        from pathlib import Path
        from mysticanvas import environment, processes

        home = Path(sys.argv[1])
        spawned = processes.spawn(
            "mysticanvas.workers",
            ["--engine", "image", "--images", str(home / "images"), "--device", "cpu",
             "--log", str(home / "worker.jsonl"), "--parent-pid", str(os.getpid())],
            environment=environment.child_environment(environment.engine_environment(1)),
            log=home / "output.log",
            secret=b"token",
        )
        print(spawned.read_ready()["pid"], flush=True)
        sys.stdin.read()
    """)
    middle = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with middle:
        assert middle.stdout is not None
        worker = processes.Identity.of(int(middle.stdout.readline()))
        assert worker.alive()
        middle.kill()
    assert worker.wait_gone(2)


def test_without_a_token_it_does_not_start(tmp_path: Path) -> None:
    spawned = processes.spawn(
        "mysticanvas.workers",
        ["--engine", "image", "--images", str(tmp_path), "--parent-pid", str(os.getpid())],
        environment=child_environment({}),
        log=tmp_path / "output.log",
    )
    assert spawned.read_ready() is None
    assert spawned.process.wait(20) == 1
    assert "token" in (tmp_path / "output.log").read_text()
