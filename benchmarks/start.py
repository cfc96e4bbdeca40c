"""What `Canvas()` takes when nothing runs yet, in a home that is new."""

from __future__ import annotations

from pathlib import Path

from benchmarks import child
from benchmarks.figure import Figure, duration
from benchmarks.statistics import summarize
from benchmarks.subject import new_home

RUNS = 7
READY_MS = 2000.0


def measure(_model: Path) -> list[Figure]:
    """From `Canvas()` in a fresh interpreter until it is ready, and until a first answer."""
    runs = [_run() for _ in range(RUNS)]
    ready = summarize([run["canvas_s"] for run in runs])
    answered = summarize([run["answered_s"] for run in runs])
    return [
        duration("start.ready", "Canvas() to ready", ready, READY_MS),
        duration("start.answered", "import, Canvas(), first answer", answered),
    ]


def _run() -> child.Answer:
    with new_home() as home, child.start("benchmarks.kernel", str(home)) as kernel:
        return kernel.hear()
