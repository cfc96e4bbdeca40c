"""A worker that fails is told of and started again, until the breaker opens."""

from __future__ import annotations

from typing import Any

import pytest
from stories import BUSY, HELD, READY, STARTED, S, Story

from mysticanvas.orchestrator.ending import Ending
from mysticanvas.orchestrator.supervisor import alerts, messages as m
from mysticanvas.orchestrator.supervisor.breaker import COOL_DOWN_S, MAX_FAILURES, STABLE_S, History
from mysticanvas.orchestrator.supervisor.deadlines import USUAL


@pytest.mark.parametrize("before", [STARTED, READY, BUSY])
def test_an_end_in_any_state_is_told_and_followed_by_another_process(before: Any) -> None:
    story = Story(*before)
    (report,) = story.tell(m.Exited(1, Ending(-11)))
    assert isinstance(report, m.Report)
    assert (report.reason, report.pid) == ("crashed in native code (SIGSEGV)", 77)
    assert report.cool_down_s is None
    assert story.state is S.FAILED
    assert story.tell(m.Tick()) == []
    assert story.tell(m.Tick(), after_s=1.0) == [m.Spawn(2)]
    assert story.life.restarts == 1


def _broken() -> Story:
    story = Story(m.Wanted())
    for number in range(1, MAX_FAILURES + 1):
        story.tell(m.Exited(number, Ending(3)))
        if number < MAX_FAILURES:
            assert story.tell(m.Tick(), after_s=2.0) == [m.Spawn(number + 1)]
    assert isinstance(story.effects[-1], m.Report)
    assert story.effects[-1].cool_down_s == COOL_DOWN_S
    assert story.life.broken
    return story


def test_the_breaker_opens_and_a_job_makes_a_trial_after_the_cool_down() -> None:
    story = _broken()
    assert story.tell(m.Tick(), after_s=COOL_DOWN_S + 1) == [], "nobody waits for it"
    assert story.tell(m.Wanted()) == [m.Spawn(MAX_FAILURES + 1)]
    (report,) = story.tell(m.Exited(MAX_FAILURES + 1, Ending(3)))
    assert report.cool_down_s == 2 * COOL_DOWN_S


def test_one_that_is_wanted_during_the_cool_down_is_tried_at_its_end() -> None:
    story = _broken()
    assert story.tell(m.Wanted(), m.Tick(), after_s=COOL_DOWN_S - 0.001) == []
    assert story.tell(m.Tick(), after_s=0.001) == [m.Spawn(MAX_FAILURES + 1)]


def test_a_reset_starts_it_at_once_and_forgets() -> None:
    story = _broken()
    assert story.tell(m.Reset()) == [m.Spawn(MAX_FAILURES + 1)]
    (report,) = story.tell(m.Exited(MAX_FAILURES + 1, Ending(3)))
    assert report.cool_down_s is None
    assert Story(*READY).tell(m.Reset()) == [], "one that is well is left alone"


SLOW_STARTS = {
    "imports": ([m.Answered, lambda n: m.Beat(n, True, 400.0, 9000.0)], 12.0),
    "does not answer": ([], USUAL.start_s + 1),
    "does not import": ([m.Answered], USUAL.import_s + 1),
    "hangs once imported": ([m.Answered, lambda n: m.Beat(n, False, 400.0, 9000.0)], 15.0),
}


@pytest.mark.parametrize("slow", SLOW_STARTS)
@pytest.mark.parametrize("ended", [False, True])
def test_a_start_that_takes_long_to_fail_opens_the_breaker_as_well(slow: str, ended: bool) -> None:
    heard, seconds = SLOW_STARTS[slow]
    story = Story(m.Wanted())
    for number in range(1, MAX_FAILURES + 1):
        story.tell(m.Spawned(number, 77), *(each(number) for each in heard))
        if ended:
            story.tell(m.Distrusted(number, "could not import its engine"), after_s=seconds)
        story.tell(m.Exited(number, Ending(1)), after_s=seconds)
        assert story.life.broken is (number == MAX_FAILURES)
        story.tell(m.Tick(), after_s=2.0)


@pytest.mark.parametrize(
    "signs",
    [
        [m.Beat(1, False, 400.0, 9000.0)],
        [m.Begun(1, HELD), m.Progressed(1, "denoise", 1)],
        [m.Begun(1, HELD), m.Ended(1, HELD)],
    ],
)
def test_a_process_that_is_well_has_the_failures_before_it_forgotten(signs: list[Any]) -> None:
    for after_s, forgotten in ((STABLE_S, True), (STABLE_S - 1, m.Ended(1, HELD) in signs)):
        story = Story(*READY)
        story.life = story.life._replace(history=History((story.now,), trips=3))
        story.tell(*signs, after_s=after_s)
        assert (story.life.history == History()) is forgotten


def test_progress_of_a_process_that_was_importing_does_not_make_it_well() -> None:
    failed = History((1.0,))
    story = Story(*STARTED, m.Answered(1), m.Begun(1, HELD))
    story.life = story.life._replace(history=failed)
    story.tell(m.Progressed(1, "load", 0), after_s=STABLE_S)
    assert story.life.history == failed


@pytest.mark.parametrize(
    ("ending", "quoted"), [(Ending(3, last_lines=("boom",)), True), (Ending(-9), False)]
)
def test_users_are_told_what_happened_and_what_to_do(ending: Ending, quoted: bool) -> None:
    import datetime

    now = datetime.datetime.now(datetime.UTC)
    report = m.Report(ending, "ended", 77, 5, None, again=True)
    alert = alerts.of(report, "image", now)
    assert (alert.kind, alert.severity) == ("worker_restart", "warning")
    assert alert.message.startswith("The image worker ended.")
    assert ("boom" in alert.message) is quoted
    assert alert.message.endswith("It is started again.")
    later = alerts.of(report._replace(again=False), "image", now)
    assert later.message.endswith("It is started again when it is needed.")
    broken = alerts.of(report._replace(cool_down_s=30.0), "image", now)
    assert (broken.kind, broken.severity) == ("worker_breaker", "error")
    assert "canvas.workers.reset()" in str(broken)
    assert "\n" not in broken.message
