"""A worker that is silent or makes no progress is ended, unless we stood still ourselves."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from stories import BUSY, HELD, KILL, READY, STARTED, TERM, S, Story

from mysticanvas.orchestrator.ending import Ending
from mysticanvas.orchestrator.supervisor import messages as m
from mysticanvas.orchestrator.supervisor.deadlines import MOST_S, USUAL


@pytest.mark.parametrize(
    ("before", "seconds", "why"),
    [
        (STARTED, USUAL.start_s, "did not start within 60 s"),
        (
            (*STARTED, m.Answered(1)),
            USUAL.import_s,
            "did not import its engine within 600 s",
        ),
        (BUSY, USUAL.first_step_s, "made no progress for"),
        ((*BUSY, m.Progressed(1, "decode", 0)), USUAL.stage_s, "(stage: decode)"),
        ((*READY, m.Begun(1, HELD)), USUAL.load_s, "(stage: load)"),
        ((*READY, m.Asked(1)), USUAL.load_s, "(stage: looking into a model)"),
    ],
)
def test_a_process_that_hangs_gets_term_then_kill(before: Any, seconds: float, why: str) -> None:
    story = Story(*before)
    assert story.tell(m.Tick(), after_s=seconds - 1) == []
    assert story.tell(m.Tick(), after_s=2.0) == [TERM]
    assert story.state is S.STOPPING
    assert story.tell(m.Tick(), after_s=USUAL.term_s - 1) == []
    assert story.tell(m.Tick(), after_s=1.0) == [KILL]
    assert story.tell(m.Tick(), after_s=60.0) == []
    (report,) = story.tell(m.Exited(1, Ending(-9)))
    assert why in report.reason
    assert "SIGKILL" in report.reason


SHORTLY_S = MOST_S + 1.0


@pytest.mark.fault("the orchestrator itself stands still", "no worker is ended for it")
@pytest.mark.parametrize(
    ("before", "seconds"),
    [
        (STARTED, USUAL.start_s),
        ((*STARTED, m.Answered(1)), USUAL.import_s),
        (BUSY, USUAL.first_step_s),
        ((*READY, m.Begun(1, HELD)), USUAL.load_s),
        ((*BUSY, m.Progressed(1, "decode", 0)), USUAL.stage_s),
    ],
)
def test_what_the_orchestrator_stood_still_is_not_the_workers_time(
    before: Any, seconds: float
) -> None:
    story = Story(*before)
    state = story.state
    assert story.tell(m.Tick(), stood_s=3600.0) == []
    assert story.state is state
    # Of an hour, a few seconds count; the rest of the time is left to it, and no more.
    assert story.tell(m.Tick(), after_s=seconds - SHORTLY_S) == []
    assert story.tell(m.Tick(), after_s=2.0) == [TERM]
    assert story.tell(m.Tick(), stood_s=3600.0) == []
    assert story.tell(m.Tick(), after_s=USUAL.term_s) == [KILL]


def test_nor_does_it_make_its_steps_longer() -> None:
    story = Story(*BUSY)
    story.tell(m.Progressed(1, "denoise", 2), after_s=1.0)
    story.tell(m.Progressed(1, "denoise", 3), stood_s=3600.0)
    assert story.life.process is not None
    assert story.life.process.work is not None
    assert story.life.process.work.longest_step_s == MOST_S


def test_silence_counts_by_what_was_asked_not_by_the_clock() -> None:
    """An orchestrator that did not run itself for an hour must not take it for its worker's."""
    story = Story(*READY)
    assert TERM not in story.tell(m.Tick(), after_s=3600.0)
    story = Story(*READY)
    assert story.tell(*[m.Missed(1, 3.0)] * 3, m.Tick()) == []
    assert story.tell(m.Beat(1, False, 400.0, 9000.0), *[m.Missed(1, 3.0)] * 3, m.Tick()) == []
    assert story.tell(m.Missed(1, 3.0), m.Tick()) == [TERM]


def test_progress_is_a_sign_of_life() -> None:
    story = Story(*BUSY, *[m.Missed(1, 3.0)] * 20)
    assert story.tell(m.Progressed(1, "denoise", 2), m.Missed(1, 3.0), m.Tick()) == []


def test_a_process_that_is_asked_to_end_ignoring_it_is_killed_even_while_it_chatters() -> None:
    story = Story(*BUSY, m.Stop(5.0))
    assert story.tell(m.Progressed(1, "denoise", 3), m.Ended(1, HELD)) == []
    assert story.state is S.STOPPING
    assert story.tell(m.Tick(), after_s=6.0) == [KILL]


def test_one_that_is_asked_something_may_take_as_long_as_for_a_job_and_keeps_its_model() -> None:
    story = Story(*READY, m.Begun(1, HELD), m.Ended(1, HELD), m.Asked(1))
    assert story.state is S.BUSY
    # Nothing that a process at rest may be silent for.
    assert story.tell(m.Missed(1, USUAL.idle_silence_s + 1), m.Tick()) == []
    story.tell(m.Beat(1, False, 400.0, 9000.0), m.Told(1))
    assert story.state is S.READY
    assert story.life.process is not None
    assert (story.life.process.held, story.life.process.work) == (HELD, None)
    # Nor is it at fault for waiting: for a job that there is no room for yet, say.
    assert m.Signal(77, signal.SIGTERM) not in story.tell(m.Tick(), after_s=USUAL.load_s + 1)
