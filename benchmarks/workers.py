"""How soon a worker that was killed is there again, and how much a job loses by it.

Ready means that the new process answers and can be given a job; it holds no model. A retried job is
timed from the kill to its picture, less what the same job takes on a worker that has to load the
model: what is left is noticing, starting, importing and recording. Both are measured with a process
in reserve, as it is by default, and without.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.figure import Figure, long_duration, memory
from benchmarks.statistics import summarize
from benchmarks.subject import PROMPT, new_home
from mysticanvas import Canvas

ROUNDS = 5
READY_S, LOST_S = 2.5, 3.0
_SETTING = "MYSTICANVAS_SPARE_WORKER"
_LOOK_S = 0.5


def measure(model: Path) -> list[Figure]:
    """Both times with and without a process in reserve, and the memory that it takes."""
    with _home(model, "true") as canvas:
        ready, lost, sizes = _with_spare(canvas, model)
    with _home(model, "false") as canvas:
        bare_ready = [_killed_idle(canvas) for _ in _rounds(canvas, model)]
        bare_lost = [_killed_busy(canvas, model) for _ in _rounds(canvas, model)]
    return [
        long_duration("workers.ready", "killed idle, ready again", summarize(ready), READY_S),
        long_duration("workers.lost", "killed in a job, lost time", summarize(lost), LOST_S),
        memory("workers.spare", "private memory of the reserve", summarize(sizes)),
        long_duration("workers.bare_ready", "ready again, no reserve", summarize(bare_ready)),
        long_duration("workers.bare_lost", "lost time, no reserve", summarize(bare_lost)),
    ]


def _with_spare(canvas: Canvas, model: Path) -> tuple[list[float], list[float], list[float]]:
    ready, lost, sizes = [], [], []
    for _ in _rounds(canvas, model):
        sizes.append(float(_spare(canvas).memory_full_info().uss))
        ready.append(_killed_idle(canvas))
    for _ in _rounds(canvas, model):
        _spare(canvas)
        lost.append(_killed_busy(canvas, model))
    return ready, lost, sizes


def _rounds(canvas: Canvas, model: Path) -> Iterator[int]:
    """Each on a worker that has just finished a job, so that no end counts as one of a row."""
    for number in range(ROUNDS):
        _draw(canvas, model)
        yield number


@contextlib.contextmanager
def _home(model: Path, spare: str) -> Iterator[Canvas]:
    before = os.environ.get(_SETTING)
    os.environ[_SETTING] = spare
    try:
        with new_home() as home, Canvas(home=home) as canvas:
            _draw(canvas, model)
            yield canvas
    finally:
        os.environ.pop(_SETTING)
        if before is not None:
            os.environ[_SETTING] = before


def _draw(canvas: Canvas, model: Path) -> float:
    began = time.perf_counter()
    canvas.submit(PROMPT, preset=str(model), seed=1).result()
    return time.perf_counter() - began


def _killed_idle(canvas: Canvas) -> float:
    """Seconds from the kill to the news that another process is ready."""
    heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with canvas.on("worker", heard.put):
        pid = _kill(canvas)
        began = time.perf_counter()
        while (status := heard.get()).state != "ready" or status.pid == pid:
            pass
        return time.perf_counter() - began


def _killed_busy(canvas: Canvas, model: Path) -> float:
    """Seconds from the kill to the picture, beyond load and generation."""
    canvas.unload()
    cold_s = _draw(canvas, model)
    job = canvas.submit(PROMPT, preset=str(model), seed=1)
    next(event for event in job.events() if event.type == "progress" and job.progress > 0.3)
    _kill(canvas)
    began = time.perf_counter()
    job.result()
    assert job.attempts == 2, "the picture was faster than the kill"
    return time.perf_counter() - began - cold_s


def _kill(canvas: Canvas) -> int:
    pid = canvas.workers["image"].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return int(pid)


def _spare(canvas: Canvas) -> psutil.Process:
    """The process in reserve, once there is one that has done its imports."""
    while True:
        reserve = canvas.workers["image"].reserve
        if reserve is not None:
            process = psutil.Process(reserve.pid)
            before = process.cpu_times()
            time.sleep(_LOOK_S)
            if process.cpu_times() == before and sum(before[:2]) > 1.0:
                return process
        time.sleep(_LOOK_S)
