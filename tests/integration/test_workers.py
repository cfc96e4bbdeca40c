"""The image worker itself, killed and stopped under a notebook's hands."""

from __future__ import annotations

import os
import queue
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from support import long_job

from mysticanvas import Canvas, errors

WAIT_S = 150


def pid_of(canvas: Canvas) -> int:
    pid = canvas.workers["image"].pid
    assert pid is not None
    return int(pid)


@pytest.fixture
def heard(canvas: Canvas) -> Iterator[queue.SimpleQueue[Any]]:
    """Alerts as `canvas.on` gives them."""
    heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with canvas.on("alert", heard.put):
        assert canvas._connection._stream.wait_connected(WAIT_S)
        yield heard


@pytest.mark.fault("SIGKILL of the idle image worker", "ready again; told in words")
def test_a_worker_that_is_killed_while_idle_is_ready_again_and_it_is_said(
    canvas: Canvas, tiny_sd: Path, heard: Any
) -> None:
    canvas.generate("x", preset=str(tiny_sd), num_inference_steps=2)
    deadline = time.monotonic() + WAIT_S
    # That it is free is told beside the end of the job, on another thread.
    while (before := canvas.workers["image"]).state != "ready":
        assert time.monotonic() < deadline, before
    assert before.preset == Path(tiny_sd).name
    assert before.memory > 100
    states: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with canvas.on("worker", states.put):
        os.kill(before.pid, signal.SIGKILL)
        seen = []
        while not seen or seen[-1].state != "ready":
            seen.append(states.get(timeout=WAIT_S))
    assert [status.state for status in seen] == ["failed", "starting", "starting", "ready"]
    after = canvas.workers["image"]
    assert (after.restarts, after.preset) == (before.restarts + 1, None)
    alert = heard.get(timeout=WAIT_S)
    assert (alert.kind, alert.pid, alert.signal) == ("worker_restart", before.pid, "SIGKILL")
    assert str(alert) == (
        "The image worker was killed from outside (SIGKILL). It is started again."
    )
    assert "ready" in repr(canvas.workers)
    assert ">image</td>" in canvas.workers._repr_html_()


@pytest.mark.fault("SIGSEGV of the image worker as it draws", "the same pixels; told in the cell")
def test_a_crash_in_mid_generation_is_said_in_the_running_cell(
    canvas: Canvas, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mysticanvas.session import notebook, progress

    class Kills(progress.Notebook):
        """Stands where the notebook would be, and crashes the worker at its first step."""

        previews = False
        killed = 0
        shown: list[str] = []

        def __init__(self) -> None:
            super().__init__(notebook.Area("id"))
            self._area.show = lambda html, text: self.shown.append(text)  # type: ignore[method-assign]

        def update(self, snapshot: Any, seconds: float) -> None:
            super().update(snapshot, seconds)
            if not self.killed and snapshot.progress.step > 10:
                self.killed = pid_of(canvas)
                os.kill(self.killed, signal.SIGSEGV)

    undisturbed = canvas.generate("x", **long_job(tiny_sd))
    display = Kills()
    monkeypatch.setattr(progress, "choose", lambda *_: display)
    image = canvas.generate("x", **long_job(tiny_sd))
    assert np.array_equal(image.numpy(), undisturbed.numpy())
    line, *alerts = display.shown[-1].splitlines()
    assert "seed 1" in line
    assert alerts[0].startswith("The image worker crashed in native code (SIGSEGV).")


@pytest.mark.fault("SIGSTOP of the image worker as it draws", "the same pixels")
def test_a_worker_that_hangs_in_mid_generation_is_replaced(
    home: Path, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYSTICANVAS_WORKER_PATIENCE", "0.6")
    with Canvas(home=home) as canvas:
        undisturbed = canvas.generate("x", **long_job(tiny_sd))
        job = canvas.submit("x", **long_job(tiny_sd))
        next(event for event in job.events() if event.type == "progress" and job.progress > 0.1)
        hung = pid_of(canvas)
        os.kill(hung, signal.SIGSTOP)
        image = job.result(timeout=WAIT_S)
        assert not psutil.pid_exists(hung)
        assert "did not answer" in job.failures[0] or "no progress" in job.failures[0]
        assert np.array_equal(image.numpy(), undisturbed.numpy())
        canvas.shutdown()


def test_a_reset_of_what_is_well_changes_nothing(canvas: Canvas, tiny_sd: Path) -> None:
    canvas.generate("x", preset=str(tiny_sd), num_inference_steps=2)
    before = pid_of(canvas)
    canvas.workers.reset()
    canvas.workers.reset("image")
    with pytest.raises(errors.NotFound, match="image"):
        canvas.workers.reset("video")
    assert pid_of(canvas) == before


def test_callbacks_get_jobs_and_images_of_the_project(canvas: Canvas, tiny_sd: Path) -> None:
    jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
    images: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with canvas.on("job", jobs.put), canvas.on("image", images.put):
        # Two pictures of a warm model may be made before.
        assert canvas._connection._stream.wait_connected(WAIT_S)
        with Canvas(home=canvas.home, project="another") as other:
            other.generate("theirs", preset=str(tiny_sd), num_inference_steps=2)
        mine = canvas.generate("mine", preset=str(tiny_sd), num_inference_steps=2)
        assert images.get(timeout=WAIT_S).id == mine.id
        assert jobs.get(timeout=WAIT_S).result(WAIT_S).id == mine.id
