"""It is known which model the worker has, and told once when that is given back."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import mortal_worker
import pytest
from dispatching import WAIT_S, Submit
from house import House

from mysticanvas.contracts.health import WorkerState
from mysticanvas.contracts.vram import Unloaded
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.queue.dispatcher import Dispatcher
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.orchestrator.supervisor import deadlines, messages
from mysticanvas.orchestrator.supervisor.worker import Worker


def test_only_a_load_says_what_loading_takes(
    dispatcher: Dispatcher, loads: list[float], submit: Submit, reached: Any
) -> None:
    dispatcher.start()
    for _ in range(2):
        reached(submit("a castle"), "succeeded")
    assert loads == [mortal_worker.LOAD_S]


def test_a_model_that_could_not_be_loaded_is_not_taken_to_be_there(
    dispatcher: Dispatcher,
    worker: Worker,
    unloads: list[Unloaded],
    submit: Submit,
    reached: Any,
) -> None:
    dispatcher.start()
    reached(submit("begin 0"), "succeeded")
    assert dispatcher.loaded == "digest of sd"
    reached(submit("begin 0", model="damaged"), "failed")
    # What is asked for here is done when what the job came to is.
    dispatcher.unload()
    worker.lease(WAIT_S)
    assert (dispatcher.loaded, worker.status.model, unloads) == (None, None, [])


def test_a_job_that_is_cancelled_before_its_model_was_loaded_leaves_the_one_before(
    transitions: Transitions, dispatcher: Dispatcher, submit: Submit, reached: Any
) -> None:
    dispatcher.start()
    reached(submit("begin 0"), "succeeded")
    cancelled = submit("endless", model="sdxl")
    reached(cancelled, "running")
    transitions.cancel(cancelled)
    reached(cancelled, "cancelled")
    dispatcher.unload("another")
    assert dispatcher.loaded == "digest of sd"


def test_a_model_that_is_given_back_is_told_once_with_the_reason(
    dispatcher: Dispatcher, unloads: list[Unloaded], submit: Submit, reached: Any
) -> None:
    dispatcher.start()
    reached(submit("a castle"), "succeeded")
    dispatcher.unload("another")
    for _ in range(2):
        dispatcher.unload()
    [told] = unloads
    assert (told.unloaded, told.preset, told.worker) == ("model", "tiny", "mortal")
    assert str(told).startswith("The model of tiny was unloaded because it was asked for, which")
    dispatcher._keep_alive_s = 0.0
    reached(submit("a tower"), "succeeded")
    deadline = time.monotonic() + WAIT_S
    while len(unloads) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [each.reason for each in unloads[1:]] == ["because it was not used for 0 s"]


@pytest.mark.fault("a worker that hangs as it is retired", "its model counts as given back")
def test_a_model_is_given_back_with_its_process_and_no_other_is_started_for_that(
    tmp_path: Path,
) -> None:
    with House(tmp_path / "home", deadlines.USUAL._replace(term_s=0.5)) as house:
        house.done()
        pid = house.in_state(WorkerState.READY)
        # So that it is at its end, but not gone, until its time is over.
        os.kill(pid, signal.SIGSTOP)
        house.worker.tell(messages.Retire("was ended to make room"))
        house.until(lambda status: status.state is WorkerState.STOPPING)
        house.dispatcher.unload()
        assert (house.worker.status.state, house.worker.status.restarts) == (WorkerState.STOPPED, 0)


def test_only_who_wants_the_model_of_the_job_that_runs_waits_for_it(
    paths: HomePaths,
    dispatcher: Dispatcher,
    unloads: list[Unloaded],
    submit: Submit,
    reached: Any,
) -> None:
    job = submit("endless")
    dispatcher.start()
    reached(job, "running")
    waiting = [threading.Thread(target=dispatcher.unload, args=given) for given in ((), ("tiny",))]
    for each in waiting:
        each.start()
    other = threading.Thread(target=dispatcher.unload, args=("another",), daemon=True)
    other.start()
    other.join(WAIT_S)
    assert not other.is_alive()
    assert all(each.is_alive() for each in waiting)
    assert unloads == []
    (paths.images.parent / "enough").touch()
    for each in waiting:
        each.join(WAIT_S)
    assert reached(job, "succeeded").attempts == 1
    assert [each.preset for each in unloads] == ["tiny"]


def test_a_model_that_made_way_for_that_of_the_job_is_gone(
    paths: HomePaths, dispatcher: Dispatcher, submit: Submit, reached: Any, transitions: Transitions
) -> None:
    dispatcher.start()
    reached(submit("a castle"), "succeeded")
    job = submit("endless", preset="another")
    with transitions.changed:
        assert transitions.changed.wait_for(transitions.runs, WAIT_S)
        [run] = transitions.runs()
    deadline = time.monotonic() + WAIT_S
    while run.progress.stage == "load" and time.monotonic() < deadline:
        time.sleep(0.01)
    dispatcher.unload("tiny")
    assert reached(job, "running")
    (paths.images.parent / "enough").touch()
    reached(job, "succeeded")


def test_a_cancelled_job_that_changed_the_number_format_alone_has_its_model_there(
    transitions: Transitions, dispatcher: Dispatcher, worker: Worker, submit: Submit, reached: Any
) -> None:
    dispatcher.start()
    reached(submit("begin 0"), "succeeded")
    assert worker.lease(WAIT_S)
    assert worker.status.form == "float32"
    job = submit("endless", preset="half", dtype="bfloat16")
    with transitions.changed:
        assert transitions.changed.wait_for(transitions.runs, WAIT_S)
        [run] = transitions.runs()
    deadline = time.monotonic() + WAIT_S
    while run.progress.stage == "load" and time.monotonic() < deadline:
        time.sleep(0.01)
    transitions.cancel(job)
    reached(job, "cancelled")
    assert worker.lease(WAIT_S)
    assert (worker.status.preset, worker.status.form) == ("half", "bfloat16")
