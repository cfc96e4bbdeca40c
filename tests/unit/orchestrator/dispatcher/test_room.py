"""A job is planned before it is sent, and once more if memory runs out as its model is loaded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dispatching import Submit

from mysticanvas.contracts.health import WorkerState
from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.problem import Problem
from mysticanvas.contracts.worker import GenerateTask
from mysticanvas.errors import DoesNotFit
from mysticanvas.orchestrator.queue.dispatcher import Dispatcher
from mysticanvas.orchestrator.supervisor.worker import Worker


@pytest.mark.parametrize("error", [ZeroDivisionError(), DoesNotFit("There is no room.")])
def test_a_job_that_fails_before_it_is_sent_leaves_the_worker_to_the_next(
    dispatcher: Dispatcher,
    worker: Worker,
    submit: Submit,
    reached: Any,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    @contextlib.contextmanager
    def admit(task: GenerateTask, ready: Callable[[], object], _stopped: object) -> Iterator[None]:
        ready()
        if task.recipe.params.prompt == "unlucky":
            raise error
        yield

    monkeypatch.setattr(dispatcher, "_admit", admit)
    failing, behind = submit("unlucky"), submit("begin 0")
    dispatcher.start()
    record = reached(failing, "failed")
    assert record.error == Problem.of(error)
    assert reached(behind, "succeeded").failures == []


def offloaded_at(turn: int, admitted: list[GenerateTask]) -> Any:
    """Admits jobs, and has those behind that many run with their weights offloaded."""

    @contextlib.contextmanager
    def admit(task: GenerateTask, ready: Callable[[], object], _stopped: object) -> Iterator[Plan]:
        ready()
        names = ("offload_model",) if len(admitted) >= turn else ()
        admitted.append(task)
        yield Plan(decision="proceed", terms=[], total_mib=0, free_mib=0, mitigations=names)

    return admit


@pytest.mark.fault("memory taken between plan and load", "planned once more with what is there")
def test_a_model_for_which_memory_runs_out_as_it_is_loaded_is_planned_once_more(
    dispatcher: Dispatcher, submit: Submit, reached: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    admitted: list[GenerateTask] = []
    monkeypatch.setattr(dispatcher, "_admit", offloaded_at(1, admitted))
    job = submit("scarce")
    dispatcher.start()
    record = reached(job, "succeeded")
    assert (record.attempts, record.failures) == (1, [])
    # The second plan is of what was asked for, not of the first plan.
    assert admitted[0] == admitted[1]


def test_it_is_planned_once_more_and_no_oftener(
    dispatcher: Dispatcher, submit: Submit, reached: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    admitted: list[GenerateTask] = []
    monkeypatch.setattr(dispatcher, "_admit", offloaded_at(2, admitted))
    job, behind = submit("scarce"), submit("begin 0")
    dispatcher.start()
    assert reached(job, "failed").error.code == "out_of_memory"
    reached(behind, "succeeded")
    assert len(admitted) == 3


def test_until_there_is_room_the_worker_has_the_model_that_it_had_and_nothing_to_do(
    dispatcher: Dispatcher,
    worker: Worker,
    submit: Submit,
    reached: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str | None, WorkerState]] = []

    @contextlib.contextmanager
    def admit(_task: object, ready: Callable[[], object], _stopped: object) -> Iterator[None]:
        ready()
        worker.catch_up()
        seen.append((worker.status.model, worker.status.state))
        yield

    monkeypatch.setattr(dispatcher, "_admit", admit)
    dispatcher.start()
    for model in ("sd", "sdxl"):
        reached(submit("begin 0", model=model), "succeeded")
    assert seen == [(None, WorkerState.READY), ("digest of sd", WorkerState.READY)]
