"""Jobs of the loaded model go first, and one in the background makes way for whoever waits."""

from __future__ import annotations

import time
from typing import Any

import pytest
from dispatching import Submit

from mysticanvas.contracts.jobs import WORKER_KINDS
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.queue import preemption, retry
from mysticanvas.orchestrator.queue.dispatcher import Dispatcher
from mysticanvas.orchestrator.queue.retry import Failure
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.store import Store


def test_a_background_job_makes_way_and_begins_again(
    store: Store, paths: HomePaths, dispatcher: Dispatcher, submit: Submit, reached: Any, bus: Any
) -> None:
    slow = submit("endless", priority="background")
    dispatcher.start()
    for attempt in (1, 2):
        reached(slow, "running", attempt)
        reached(submit("begin 0"), "succeeded")
    reached(slow, "running", 3)
    (paths.images.parent / "enough").touch()
    record = reached(slow, "succeeded")
    assert (record.attempts, record.failures) == (3, [])
    assert bus.statuses(slow) == ["queued", *["running", "queued"] * 2, "running", "succeeded"]


@pytest.mark.parametrize("failure", [Failure.WORKER_BROKEN, Failure.ORCHESTRATOR_STOPPED])
def test_attempts_that_made_no_way_are_not_taken_for_such(
    transitions: Transitions,
    paths: HomePaths,
    dispatcher: Dispatcher,
    submit: Submit,
    reached: Any,
    monkeypatch: pytest.MonkeyPatch,
    failure: Failure,
) -> None:
    monkeypatch.setattr(retry, "FIRST_S", 0.0)
    slow = submit("endless", priority="background")
    for _ in range(preemption.MOST):
        run = transitions.claim(WORKER_KINDS, dispatcher.begin)
        assert run is not None
        transitions.lose(run, failure, "of no doing of the job")
    dispatcher.start()
    reached(slow, "running", preemption.MOST + 1)
    reached(submit("begin 0"), "succeeded")
    (paths.images.parent / "enough").touch()
    reached(slow, "succeeded")


def test_a_job_that_made_way_often_enough_is_left_to_run(
    transitions: Transitions,
    paths: HomePaths,
    dispatcher: Dispatcher,
    submit: Submit,
    reached: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preemption, "MOST", 1)
    slow = submit("endless", priority="background")
    dispatcher.start()
    reached(slow, "running", 1)
    reached(submit("begin 0"), "succeeded")
    reached(slow, "running", 2)
    (run,) = transitions.runs()
    quick, seen = submit("begin 0"), run.progress.step
    while not run.stopped and run.progress.step < seen + 5:
        time.sleep(0.01)
    (paths.images.parent / "enough").touch()
    first, then = reached(slow, "succeeded"), reached(quick, "succeeded")
    assert (first.attempts, then.attempts) == (2, 1)
    assert first.finished_at < then.finished_at


def test_jobs_of_the_loaded_model_go_before_those_that_need_another(
    dispatcher: Dispatcher, submit: Submit, reached: Any, bus: Any
) -> None:
    jobs = [submit("begin 0", model=model) for model in ("sd", "sdxl", "sd")]
    dispatcher.start()
    for job in jobs:
        reached(job, "succeeded")
    began = [d["id"] for kind, d in bus.published if kind == "job" and d["status"] == "running"]
    assert began == [jobs[0], jobs[2], jobs[1]]


def test_a_job_that_somebody_waits_for_makes_way_for_none(
    paths: HomePaths, dispatcher: Dispatcher, submit: Submit, reached: Any
) -> None:
    first = submit("endless")
    dispatcher.start()
    reached(first, "running")
    second = submit("begin 0")
    (paths.images.parent / "enough").touch()
    assert reached(second, "succeeded").attempts == 1
    assert reached(first, "succeeded").attempts == 1
