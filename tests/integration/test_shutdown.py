"""`canvas.shutdown()` while other threads of the kernel wait for a job."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mysticanvas_echo import make_model
from others import LISTENING, kernel
from support import processes_of

from mysticanvas import Canvas, Conflict, Job, OrchestratorUnavailable
from mysticanvas.session import starting, stopping

RESTART_S = 2.0
"""Seconds within which a thread that would start an orchestrator anew has begun to."""


@pytest.fixture(autouse=True)
def echo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYSTICANVAS_ENGINE", "echo")


def submitted(canvas: Canvas, folder: Path) -> Job[Any]:
    """A job that waits in a queue that is paused."""
    assert canvas._connection._stream.wait_connected(60)
    canvas.jobs.pause()
    return canvas.submit("x", preset=make_model(folder / "m"))


@contextlib.contextmanager
def waited_for(job: Job[Any]) -> Iterator[list[object]]:
    """A thread waits for the job, and has come to its end when the context has."""
    outcome: list[object] = []

    def wait() -> None:
        try:
            outcome.append(job.result(60))
        except OrchestratorUnavailable as error:
            outcome.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not job._tracker.waited_for:
        time.sleep(0.01)
    yield outcome
    waiting.join(60)
    assert not waiting.is_alive()


@pytest.mark.parametrize(
    "who", [lambda canvas, _: canvas, lambda _, other: other], ids=["of it", "of another canvas"]
)
def test_nothing_is_started_for_threads_that_wait(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: Callable[..., Canvas]
) -> None:
    with Canvas(home=home) as canvas, Canvas(home=home) as other:
        job = submitted(who(canvas, other), tmp_path)
        started: list[object] = []
        start, ask = starting.start, stopping.ask

        def answered_late(*given: Any) -> bool:
            answer = ask(*given)
            time.sleep(RESTART_S)
            return answer

        monkeypatch.setattr(starting, "start", lambda *given: started.append(1) or start(*given))
        monkeypatch.setattr(stopping, "ask", answered_late)
        with waited_for(job) as outcome:
            canvas.shutdown()
        assert "was stopped before job" in str(outcome[0])
        time.sleep(RESTART_S)
        assert started == []
        assert processes_of(home) == []


def test_another_canvas_hears_of_the_next_orchestrator(home: Path, tmp_path: Path) -> None:
    heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with Canvas(home=home) as canvas, Canvas(home=home) as other:
        submitted(other, tmp_path)
        with other.on("job", heard.put):
            canvas.shutdown()
            while not heard.empty():
                heard.get()
            with Canvas(home=home) as third:
                assert other._connection._stream.wait_connected(60)
                job = third.submit("y", preset=make_model(tmp_path / "m"))
                while heard.get(timeout=60).id != job.id:
                    pass


def test_who_waits_goes_on_when_a_shutdown_is_refused(home: Path, tmp_path: Path) -> None:
    with Canvas(home=home) as canvas:
        job = submitted(canvas, tmp_path)
        with kernel(LISTENING, home) as other, waited_for(job) as outcome:
            assert other.stdout is not None
            assert other.stdout.readline() == "listening\n"
            with pytest.raises(Conflict):
                canvas.shutdown()
            assert outcome == []
            assert canvas._connection._stream.wait_connected(60)
            canvas.jobs.resume()
            other.communicate("done\n", timeout=60)
        assert outcome[0].prompt == "x"
        canvas.shutdown()
