"""Workers that are well and slow: what takes them longer is known, and whoever loses patience with
them is told how to have more."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from ends import SHORT
from house import House
from stories import BUSY, HELD, READY, STARTED, Story

from mysticanvas.contracts.plan import Plan
from mysticanvas.orchestrator.ending import Ending
from mysticanvas.orchestrator.events import Bus
from mysticanvas.orchestrator.queue import outcomes
from mysticanvas.orchestrator.queue.generation import Generation
from mysticanvas.orchestrator.queue.retry import Failure
from mysticanvas.orchestrator.supervisor import alerts, deadlines, messages as m
from mysticanvas.orchestrator.supervisor.deadlines import USUAL, Work, progress_s

SETTING = "MYSTICANVAS_WORKER_PATIENCE"
LIMITS = SHORT._replace(first_step_s=2.0)


def test_the_first_step_of_more_pictures_and_a_decoding_of_them_may_take_longer() -> None:
    story = Story(*READY, m.Begun(1, HELD, times=4.0))
    process = story.life.process
    assert process is not None
    assert process.work is not None
    work = process.work.advanced("denoise", 0, 0.0)
    assert progress_s(work, USUAL) == 4 * USUAL.first_step_s
    assert progress_s(work.advanced("denoise", 1, 9.0), USUAL) == 4 * USUAL.first_step_s
    assert progress_s(work.advanced("decode", 0, 9.0), USUAL) == 4 * USUAL.stage_s
    stepped = Work("denoise", 2, 0.0, 8.0, times=4.0)
    assert progress_s(stepped, USUAL) == deadlines.STEP_FACTOR * 8.0, "it is measured by its own"


@pytest.mark.parametrize(
    "why",
    [
        *("did not start within 60 s", "did not import its engine within 600 s"),
        *("did not answer for 61 s", "made no progress for 301 s (stage: denoise)"),
    ],
)
def test_who_was_ended_for_being_slow_is_told_of_the_setting(why: str) -> None:
    given = outcomes.given_up(Failure.WORKER_LOST, [f"attempt 1: the worker {why}"], "it ended")
    assert SETTING in given.hint
    for failure in (Failure.WORKER_BROKEN, Failure.WORKER_MISSING):
        assert SETTING in outcomes.given_up(failure, [], f"it {why}").hint
    for cool_down_s in (None, 30.0):
        report = m.Report(Ending(-9, why), f"{why}, and was ended", 7, 5, cool_down_s, True)
        assert SETTING in alerts.of(report, "image", datetime.now(UTC)).message


def test_these_are_the_words_that_workers_are_ended_with() -> None:
    far_s = 10 * USUAL.import_s
    for story in (Story(*STARTED), Story(*STARTED, m.Answered(1)), Story(*BUSY)):
        story.tell(m.Tick(), after_s=far_s)
        process = story.life.process
        assert process is not None
        assert deadlines.advice([process.ended_for]), process
    story = Story(*BUSY, m.Missed(1, far_s), m.Tick())
    assert story.life.process is not None
    assert deadlines.advice([story.life.process.ended_for])


def test_nobody_else_is_told_of_it() -> None:
    for why in ("crashed in native code (SIGSEGV)", "broke off its answer"):
        assert SETTING not in outcomes.given_up(Failure.WORKER_LOST, [why], why).hint
        report = m.Report(Ending(-11), why, 7, 1, None, True)
        assert SETTING not in alerts.of(report, "image", datetime.now(UTC)).message


@pytest.mark.fault("a first step that takes longer than most", "done in time where that is known")
def test_a_large_picture_has_more_time_than_a_small_one(tmp_path: Path) -> None:
    with House(tmp_path, LIMITS) as house:
        large = house.submit("nap denoise 1", width=2048, height=1024, num_images=2)
        assert house.reached(large, "succeeded").failures == []
        small = house.submit("nap denoise 1")
        assert "made no progress" in house.reached(small, "succeeded").failures[0]
        assert SETTING in house.alerts[-1].message


@pytest.mark.fault("steps that take longer than a worker has", "parked, and the setting is named")
def test_a_job_that_is_too_slow_is_parked_with_what_to_do(tmp_path: Path) -> None:
    with House(tmp_path, LIMITS) as house:
        failed = house.reached(house.submit("nap denoise 3"), "failed")
        assert failed.error is not None
        assert SETTING in failed.error.hint


def test_a_way_that_is_slow_has_more_time(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        run = Generation(house.store.jobs.get(house.submit()), Bus(), lambda: False)
        assert run.times == 1.0
        run.planned(Plan(decision="offload", terms=[], total_mib=1, free_mib=1, slowdown=5.0))
        assert run.times == 5.0
