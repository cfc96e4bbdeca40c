"""How long a worker may be silent, or at the same point of its work: pure.

Imports and loads hold the interpreter, so a process that hears nothing for a minute may be well.
Between jobs nothing holds it. While a job runs, its steps are the measure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mysticanvas.contracts.health import WorkerState


class Deadlines(NamedTuple):
    """Seconds."""

    start_s: float = 60.0
    """From the start of the process until its shell answers."""
    import_s: float = 600.0
    """From then until the engine is imported."""
    idle_silence_s: float = 10.0
    import_silence_s: float = 120.0
    load_silence_s: float = 300.0
    work_silence_s: float = 60.0
    """Without any answer: idle, importing, loading a model, and computing."""
    load_s: float = 900.0
    first_step_s: float = 300.0
    """Until the first step, of a picture of `USUAL_PIXELS`: kernels are compiled and tuned then."""
    step_s: float = 60.0
    """For a step, at least; never less than `STEP_FACTOR` times the longest before it."""
    stage_s: float = 900.0
    """For any other stage, such as decoding."""
    term_s: float = 5.0
    """From a hanging worker's SIGTERM to its SIGKILL."""

    def scaled(self, patience: float) -> Deadlines:
        """All of them, so many times as long."""
        return Deadlines(*(seconds * patience for seconds in self))


USUAL = Deadlines()
USUAL_PIXELS = 1024**2
STEP_FACTOR = 20.0
MOST_S = 3.0
"""What passes between two signs of a worker counts at most, since one is looked for each second or
two: the time for which we did not run ourselves is not the worker's."""

LOADING = "load"
LOOKING = "looking into a model"
"""Of a worker that has no job, and is asked what a model is or needs."""
_HELD_UP = {LOADING, LOOKING}
"""Stages that hold the interpreter for long."""


class Work(NamedTuple):
    """How far the job of a worker is."""

    stage: str
    """As in `Progress`, `LOADING` until something else is heard; or `LOOKING`."""
    step: int
    since: float
    """When it came to this point, on the monotonic clock."""
    longest_step_s: float = 0.0
    times: float = 1.0
    """How many times as long as one usual picture its first step, and what is no step, may take."""

    def advanced(self, stage: str, step: int, now: float) -> Work:
        """It after another sign of progress."""
        stepped = stage == self.stage and self.step > 0
        longest = max(self.longest_step_s, now - self.since) if stepped else self.longest_step_s
        return self._replace(stage=stage, step=step, since=now, longest_step_s=longest)


def silence_s(state: WorkerState, importing: bool, work: Work | None, limits: Deadlines) -> float:
    """Seconds for which a process whose shell has answered once may say nothing at all."""
    if importing:
        return limits.import_silence_s
    if state is not WorkerState.BUSY or work is None:
        return limits.idle_silence_s
    return limits.load_silence_s if work.stage in _HELD_UP else limits.work_silence_s


def progress_s(work: Work, limits: Deadlines) -> float:
    """Seconds that a job may stay at the point where it is."""
    if work.stage in _HELD_UP:
        return limits.load_s
    if work.stage != "denoise":
        return limits.stage_s * work.times
    if work.step == 0 or work.longest_step_s == 0.0:
        return limits.first_step_s * work.times
    return max(limits.step_s, STEP_FACTOR * work.longest_step_s)


_OVERDUE = (
    "did not start within",
    "did not import its engine",
    "did not answer",
    "made no progress",
)


def advice(reasons: Iterable[str]) -> str:
    """What can be done about workers that were ended for these reasons, as a sentence to put behind
    others; empty if none was for being slow."""
    if not any(words in reason for reason in reasons for words in _OVERDUE):
        return ""
    return (
        " If it did not hang but is slow, set MYSTICANVAS_WORKER_PATIENCE for the orchestrator: 4, "
        "say, has workers waited for four times as long."
    )
