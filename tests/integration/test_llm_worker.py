"""The worker of language models beside the image worker: started when wanted, and reported."""

from __future__ import annotations

import os
import queue
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import processes_of

from mysticanvas import Canvas, errors, processes
from mysticanvas.contracts.alerts import Alert
from mysticanvas.contracts.health import WorkerState, WorkerStatus
from mysticanvas.contracts.llm import ContextParams
from mysticanvas.contracts.worker import LLMRef
from mysticanvas.environment import child_environment, engine_environment
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator.supervisor.launcher import Launch
from mysticanvas.orchestrator.supervisor.messages import Held
from mysticanvas.orchestrator.supervisor.worker import Listener, Worker

WAIT_S = 150.0


def engines_of(home: Path) -> list[str]:
    """The kinds of the worker processes of a home."""
    # As they were found: a helper may be gone by now.
    lines = [process.info["cmdline"] for process in processes_of(home)]
    return sorted(line[line.index("--engine") + 1] for line in lines if "--engine" in line)


def until_ready(
    heard: queue.SimpleQueue[WorkerStatus], after: WorkerStatus | None = None
) -> WorkerStatus:
    """The next news of a worker of language models that is ready.

    Args:
        after: of the process before.
    """
    gone = None if after is None else after.pid
    while True:
        status = heard.get(timeout=WAIT_S)
        if (status.kind, status.state) == ("llm", "ready") and status.pid not in (None, gone):
            return status


@pytest.mark.fault("SIGKILL of the worker of language models", "ready again; told in words")
def test_it_costs_nothing_until_it_is_wanted_and_ends_alone(canvas: Canvas) -> None:
    waiting = canvas.workers["llm"]
    assert (waiting.state, waiting.pid, waiting.memory) == ("stopped", None, 0.0)
    assert engines_of(canvas.home) == ["image"]
    assert "llm · stopped" in repr(canvas.workers)
    canvas.workers.reset()
    assert canvas.workers["llm"].pid is None

    heard: queue.SimpleQueue[WorkerStatus] = queue.SimpleQueue()
    alerts: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with canvas.on("worker", heard.put), canvas.on("alert", alerts.put):
        assert canvas._connection._stream.wait_connected(WAIT_S)
        image = canvas.workers["image"].pid
        canvas.workers.start("llm")
        ready = until_ready(heard)
        assert ready.pid is not None
        assert engines_of(canvas.home) == ["image", "llm"]
        canvas.workers.start("llm")
        assert canvas.workers["llm"].pid == ready.pid
        os.kill(ready.pid, signal.SIGKILL)
        assert until_ready(heard, after=ready).restarts == ready.restarts + 1
        alert = alerts.get(timeout=WAIT_S)
    assert (alert.worker, alert.signal) == ("llm", "SIGKILL")
    assert "llm worker was killed from outside" in str(alert)
    assert canvas.workers["image"].pid == image
    with pytest.raises(errors.NotFound, match="video"):
        canvas.workers.start("video")


def test_it_ends_with_the_orchestrator(home: Path) -> None:
    heard: queue.SimpleQueue[WorkerStatus] = queue.SimpleQueue()
    with Canvas(home=home) as canvas, canvas.on("worker", heard.put):
        assert canvas._connection._stream.wait_connected(WAIT_S)
        canvas.workers.start("llm")
        pid = until_ready(heard).pid
        assert pid is not None
        worker = processes.Identity.of(pid)
        canvas.shutdown(force=True)
        assert worker.wait_gone(10.0)


class Watched:
    """A worker of language models that a supervisor keeps, and what is told of it."""

    def __init__(self, home: Path) -> None:
        self.statuses: queue.SimpleQueue[WorkerStatus] = queue.SimpleQueue()
        self.alerts: queue.SimpleQueue[Alert] = queue.SimpleQueue()
        arguments = ["--engine", "llm", "--images", str(home), "--device", "cpu", "--threads", "1"]
        launch = Launch(
            kind="llm",
            arguments=[*arguments, "--parent-pid", str(os.getpid())],
            environment=child_environment(engine_environment(1)),
            log=LogFile(home / "worker.jsonl"),
        )
        self.worker = Worker(launch, Listener(self.statuses.put, self.alerts.put), 5.0)

    def until_it_holds(self, *names: str) -> WorkerStatus:
        """The next news of a worker whose model holds these parts."""
        while True:
            status = self.statuses.get(timeout=WAIT_S)
            if [part.name for part in status.memory_parts] == list(names):
                return status


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    watched.worker.start(on_demand=True)
    yield watched
    watched.worker.stop()


@pytest.mark.fault("SIGSEGV of the worker of language models", "told; the next load has another")
def test_the_supervisor_tells_what_a_model_holds_and_outlives_its_crash(
    watched: Watched, tiny_llm: Path
) -> None:
    worker = watched.worker
    assert (worker.status.state, worker.status.pid) == (WorkerState.STOPPED, None)
    ref = LLMRef(path=str(tiny_llm), digest="digest", context=ContextParams(n_ctx=2048))

    def load() -> None:
        lease = worker.lease(WAIT_S)
        lease.begun(Held("digest", "tiny"))
        assert lease.client.load(ref).dtype == "f16"
        lease.ended(Held("digest", "tiny"))

    load()
    held = watched.until_it_holds("weights", "output", "kv cache", "compute")
    sizes = {part.name: part.mib for part in held.memory_parts}
    assert sizes["kv cache"] == 0.5
    assert held.memory > sum(sizes.values())

    worker.lease(WAIT_S).client.drop_context()
    watched.until_it_holds("weights")

    assert worker.status.pid is not None
    crashed = psutil.Process(worker.status.pid)
    crashed.send_signal(signal.SIGSEGV)
    alert = watched.alerts.get(timeout=WAIT_S)
    assert "crashed in native code (SIGSEGV)" in alert.message
    load()
    watched.until_it_holds("weights", "output", "kv cache", "compute")
    assert worker.status.restarts == 1
