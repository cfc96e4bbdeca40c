"""A job that is cancelled in a long step: its worker is kept where nobody waits for it, and is not
blamed where somebody does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ends import SHORT
from house import House
from stories import BUSY, Story

from mysticanvas.contracts.health import WorkerState
from mysticanvas.contracts.jobs import Progress
from mysticanvas.orchestrator.ending import Ending
from mysticanvas.orchestrator.events import Bus
from mysticanvas.orchestrator.queue import generation
from mysticanvas.orchestrator.queue.generation import Generation
from mysticanvas.orchestrator.supervisor import messages as m

SETTLE_S = 1.0
"""Fewer than a nap takes."""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path, SHORT._replace(first_step_s=60, step_s=60)) as house:
        house.dispatcher._settle_s = SETTLE_S
        house.done()
        yield house


@pytest.mark.fault("a job is cancelled in a long step, and nobody waits", "its worker is kept")
def test_where_nobody_waits_the_step_comes_to_its_end(house: House) -> None:
    pid = house.in_state(WorkerState.READY)
    job = house.submit("nap denoise 1")
    house.at_stage(job, "denoise")
    house.transitions.cancel(job)
    assert house.reached(job, "cancelled").failures == []
    assert house.done().attempts == 1
    assert (house.in_state(WorkerState.READY), house.alerts) == (pid, [])


@pytest.mark.fault("a job is cancelled in a long step, and another waits", "ended without blame")
def test_where_another_waits_the_worker_is_ended_and_not_blamed(house: House) -> None:
    pid = house.in_state(WorkerState.READY)
    job = house.submit("stick denoise 1")
    house.at_stage(job, "denoise")
    house.transitions.cancel(job)
    next_job = house.submit()
    assert house.reached(job, "cancelled").failures == []
    assert house.reached(next_job, "succeeded").attempts == 1
    assert house.in_state(WorkerState.READY) != pid
    assert house.alerts == []
    assert house.worker._life.history.failures == ()


@pytest.mark.fault("the end comes while a cancelled job is in a long step", "it waits for no step")
def test_the_end_waits_for_no_step(tmp_path: Path) -> None:
    with House(tmp_path, SHORT) as house:
        house.dispatcher._settle_s = SETTLE_S
        job = house.submit("stick denoise 1")
        house.at_stage(job, "denoise")
        house.transitions.cancel(job)
    assert house.worker.status.state is WorkerState.STOPPED


def test_a_step_is_waited_for_as_long_as_steps_have_taken(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Generation(house.store.jobs.get(house.submit()), Bus(), lambda: False)
    now = 0.0
    monkeypatch.setattr(generation, "time", SimpleNamespace(monotonic=lambda: now))
    for at, stage, number in [(900.0, "load", 0), (900.0, "denoise", 0)]:
        now = at
        run.advance(Progress(stage=stage, step=number))
        assert run.settle_s == 0.0, "loading says nothing of steps"
    for at, expected in [(925.0, 50.0), (955.0, 60.0), (956.0, 60.0)]:
        now = at
        run.advance(Progress(stage="denoise", step=1))
        assert run.settle_s == expected


def test_one_that_is_ended_without_blame_is_followed_by_another() -> None:
    story = Story(*BUSY, m.Distrusted(1, "was still at a step", failed=False))
    effects = story.tell(m.Exited(1, Ending(-9)), m.Tick(), after_s=1.0)
    assert effects == [m.Spawn(2)]
    assert story.life.history.failures == ()
