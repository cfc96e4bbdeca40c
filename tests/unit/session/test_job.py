import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from routes import Routes

from mysticanvas import Canvas, InvalidRequest, Job, JobCancelled, OrchestratorUnavailable
from mysticanvas.session.connection import Connection
from mysticanvas.session.tracker import JobTracker

MakeJob = Callable[..., Any]


@pytest.mark.parametrize("bad", ["a", True, float("nan")])
def test_a_time_that_is_no_number_is_refused_at_once(
    make_job: MakeJob, connection: Connection, bad: Any
) -> None:
    job: Job[None] = Job(connection, JobTracker(make_job("running")), lambda record: None)
    for wait in (job.wait, job.result):
        with pytest.raises(InvalidRequest, match="timeout="):
            wait(bad)


def test_any_time_will_do_for_a_job_that_has_ended(
    make_job: MakeJob, connection: Connection
) -> None:
    job = Job(connection, JobTracker(make_job("succeeded")), lambda record: record.status)
    for timeout in (None, 0, -1, 0.5, float("inf"), 10**400):
        assert job.result(timeout) == "succeeded"


async def _awaited(job: Job[Any]) -> None:
    await asyncio.wait_for(_outcome(job), 10)


async def _outcome(job: Job[Any]) -> None:
    with pytest.raises(JobCancelled):
        await job


async def _last_event(job: Job[Any]) -> None:
    async def last() -> str:
        return [event.data["status"] async for event in job.events()][-1]

    assert await asyncio.wait_for(last(), 10) == "cancelled"


@pytest.mark.parametrize(
    "wait",
    [
        lambda job: job.wait(10),
        lambda job: asyncio.run(_awaited(job)),
        lambda job: list(job.events()),
        lambda job: asyncio.run(_last_event(job)),
    ],
    ids=["wait", "await", "events", "async events"],
)
@pytest.mark.timeout(30)
def test_whoever_waits_after_a_shutdown_hears_of_the_job_again(
    canvas: Canvas, routes: Routes, model: str, wait: Callable[[Job[Any]], object]
) -> None:
    job = canvas.submit("x", preset=model)
    canvas._connection.pause()
    while canvas._connection.listening:
        time.sleep(0.01)
    routes.transitions.cancel(job.id)
    wait(job)
    assert job._tracker.record.status == "cancelled"


def test_whoever_waits_while_the_orchestrator_is_stopped_is_told_so(
    canvas: Canvas, model: str
) -> None:
    job = canvas.submit("x", preset=model)
    errors: list[OrchestratorUnavailable] = []

    def wait() -> None:
        with pytest.raises(OrchestratorUnavailable, match="was stopped before job") as raised:
            job.wait(20)
        errors.append(raised.value)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not job._tracker.waited_for:
        time.sleep(0.01)
    canvas._connection.interrupt()
    waiting.join(20)
    assert len(errors) == 1


def test_a_wait_that_ends_too_soon_asks_nobody_for_the_state(
    canvas: Canvas, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = canvas.submit("x", preset=model)
    monkeypatch.setattr(type(canvas._connection), "listening", False)
    monkeypatch.setattr(Job, "_fetch", lambda _: pytest.fail("asked"))
    with pytest.raises(TimeoutError, match=r"is still queued after 0\.1 s"):
        job.wait(0.1)
