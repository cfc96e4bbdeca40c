"""A worker that dies at any step of a job costs no picture, and makes none twice."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from dispatching import WAIT_S, Submit
from mortal_worker import STEPS
from support import kill
from tasks import make_task

from mysticanvas.contracts.jobs import JobRecord
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.queue import retry
from mysticanvas.orchestrator.queue.dispatcher import Dispatcher
from mysticanvas.orchestrator.supervisor.client import Unreached
from mysticanvas.orchestrator.supervisor.worker import Worker
from mysticanvas.store import Store


def pixels(record: JobRecord) -> list[str]:
    return [image.pixels_sha256 for image in record.images]


@pytest.mark.fault("SIGKILL of a worker at every step of a job", "each picture is made once")
def test_a_worker_that_dies_at_any_step_costs_no_picture_and_makes_none_twice(
    store: Store,
    paths: HomePaths,
    dispatcher: Dispatcher,
    submit: Submit,
    reached: Any,
    bus: Any,
) -> None:
    undisturbed = submit("begin 0")
    jobs = {step: submit(f"{step} 1") for step in STEPS}
    dispatcher.start()
    expected = pixels(reached(undisturbed, "succeeded"))
    for step, job in jobs.items():
        record = reached(job, "succeeded")
        assert pixels(record) == expected, step
        # Behind the last message there is nothing left to do again.
        assert record.attempts == (1 if step == "finished" else 2), step
        assert len(record.failures) == record.attempts - 1, step
        assert all("SIGKILL" in failure for failure in record.failures), step
        assert bus.statuses(job).count("succeeded") == 1, step
    rows = store.database.read("SELECT id FROM images")
    assert len(rows) == 2 * (len(STEPS) + 1)
    for image in store.images.page(1000).items:
        assert (paths.root / image.path).is_file()


@pytest.mark.fault("a job that kills every worker", "parked with its reasons")
@pytest.mark.parametrize("step", ["taken", "denoise"])
def test_a_job_that_always_kills_its_worker_is_parked_and_the_queue_goes_on(
    store: Store, dispatcher: Dispatcher, submit: Submit, reached: Any, step: str
) -> None:
    poison, behind = submit(f"{step} 99"), submit("begin 0")
    dispatcher.start()
    record = reached(poison, "failed")
    assert [reason.partition(":")[0] for reason in record.failures] == [
        f"attempt {k}" for k in range(1, retry.MAX_FAILURES + 1)
    ]
    assert record.error is not None
    assert record.error.code == "worker_crashed"
    assert record.error.detail.count("SIGKILL") == retry.MAX_FAILURES
    assert reached(behind, "succeeded").failures == []


@pytest.mark.fault("SIGKILL of a worker between two jobs", "it counts against neither")
def test_a_worker_that_died_between_two_jobs_costs_neither(
    dispatcher: Dispatcher, worker: Worker, submit: Submit, reached: Any
) -> None:
    dispatcher.start()
    reached(submit("begin 0"), "succeeded")
    assert worker.status.pid is not None
    kill(worker.status.pid)
    assert reached(submit("begin 0"), "succeeded").failures == []


def test_whoever_calls_a_process_that_is_gone_hears_that_it_never_had_the_job(
    worker: Worker,
) -> None:
    lease = worker.lease(WAIT_S)
    assert worker.status.pid is not None
    os.kill(worker.status.pid, signal.SIGKILL)
    assert lease.ending(WAIT_S) is not None
    for _ in range(3):
        with pytest.raises(Unreached), lease.client.generate(make_task(Path("sd"))):
            pass
