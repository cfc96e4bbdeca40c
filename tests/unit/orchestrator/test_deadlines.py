"""How long a worker may be silent, or at one point of its work."""

from __future__ import annotations

from mysticanvas.contracts.health import WorkerState
from mysticanvas.orchestrator.supervisor.deadlines import (
    LOOKING,
    STEP_FACTOR,
    USUAL,
    Work,
    progress_s,
    silence_s,
)

BUSY, READY = WorkerState.BUSY, WorkerState.READY


def test_idle_it_is_seconds_and_whatever_holds_the_interpreter_has_minutes() -> None:
    idle = silence_s(READY, False, None, USUAL)
    importing = silence_s(READY, True, None, USUAL)
    loading = silence_s(BUSY, False, Work("load", 0, 0.0), USUAL)
    looking = silence_s(BUSY, False, Work(LOOKING, 0, 0.0), USUAL)
    drawing = silence_s(BUSY, False, Work("denoise", 3, 0.0), USUAL)
    assert idle < drawing < importing < loading == looking
    assert idle <= 10
    assert loading >= 120


def test_steps_are_measured_by_the_longest_before_them() -> None:
    work = Work("load", 0, 0.0)
    assert progress_s(work, USUAL) == USUAL.load_s
    work = work.advanced("denoise", 0, 10.0)
    assert progress_s(work, USUAL) == USUAL.first_step_s
    work = work.advanced("denoise", 1, 60.0)
    assert progress_s(work, USUAL) == USUAL.first_step_s, "the first step says nothing of others"
    work = work.advanced("denoise", 2, 68.0)
    assert work.longest_step_s == 8.0
    assert progress_s(work, USUAL) == STEP_FACTOR * 8.0
    work = work.advanced("denoise", 3, 68.1)
    assert progress_s(work, USUAL) == STEP_FACTOR * 8.0
    assert progress_s(work.advanced("decode", 0, 69.0), USUAL) == USUAL.stage_s


def test_short_steps_have_a_minute_all_the_same() -> None:
    work = Work("denoise", 1, 0.0).advanced("denoise", 2, 0.1)
    assert progress_s(work, USUAL) == USUAL.step_s


def test_patience_is_a_factor_on_all_of_them() -> None:
    assert USUAL.scaled(2.0) == tuple(2 * seconds for seconds in USUAL)
