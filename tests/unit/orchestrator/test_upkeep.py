"""The thread that looks after the queue: signs of life, rescue, retention."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mysticanvas.contracts.jobs import JobStatus
from mysticanvas.orchestrator.queue import rescue, upkeep as upkeep_module
from mysticanvas.orchestrator.queue.run import Run
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.orchestrator.queue.upkeep import Upkeep
from mysticanvas.processes import Identity
from mysticanvas.store import Store

KINDS = ("backup",)
WAIT_S = 60


@pytest.fixture
def upkeep(store: Store, transitions: Transitions) -> Upkeep:
    return Upkeep(transitions, store, keep_internal_days=7)


def last_sign(store: Store, job: str) -> Any:
    [row] = store.database.read("SELECT heartbeat_at FROM jobs WHERE id = $id::UUID", id=job)
    return row["heartbeat_at"]


def age(store: Store, job: str) -> None:
    """Have a job be as old as those that are forgotten."""
    with store.database.write() as transaction:
        transaction.run(
            "UPDATE jobs SET finished_at = finished_at - INTERVAL 8 DAY WHERE id = $id::UUID",
            id=job,
        )


def test_what_runs_gives_signs_of_life_and_what_does_not_gives_none(
    store: Store, transitions: Any, bus: Any, add: Any, upkeep: Upkeep
) -> None:
    job, waiting = add(), add()
    run = transitions.claim(KINDS, lambda job: Run(job, bus))
    began = last_sign(store, job)
    upkeep.look()
    assert last_sign(store, job) > began
    transitions.succeed(run, result={})
    ended = last_sign(store, job)
    upkeep.look()
    assert last_sign(store, job) == ended
    assert last_sign(store, waiting) is None


def test_a_job_is_taken_up_once_its_process_is_gone_however_old_its_last_sign(
    store: Store, add: Any, upkeep: Upkeep
) -> None:
    me = Identity.of(os.getpid())
    parent = Identity.of(os.getppid())
    dead = me._replace(started_at=me.started_at - 60)
    jobs = {add(): parent, add(): dead}
    for runner in jobs.values():
        assert store.jobs.claim(KINDS, rescue.to_text(runner)) is not None
    long_ago = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=2)
    with store.database.write() as transaction:
        transaction.run("UPDATE jobs SET heartbeat_at = $long_ago", long_ago=long_ago)
    upkeep.look()
    statuses = [store.jobs.get(job).record.status for job in jobs]
    assert statuses == [JobStatus.RUNNING, JobStatus.QUEUED]


def test_old_internal_jobs_are_forgotten_and_those_of_users_are_not(
    store: Store, transitions: Any, bus: Any, add: Any, upkeep: Upkeep
) -> None:
    jobs = [add(internal=True), add(internal=True), add(), add()]
    for _ in jobs:
        transitions.succeed(transitions.claim(KINDS, lambda job: Run(job, bus)), result={})
    old_internal, _, old_own, newest = jobs
    age(store, old_internal)
    age(store, old_own)
    upkeep.prune()
    left = {job.id for job in store.jobs.page(internal=True).items}
    assert left == {*jobs} - {old_internal}
    assert newest in left


def test_what_was_found_out_of_models_long_ago_is_forgotten(
    store: Store, upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mysticanvas.store.profiles.KEPT_ANYHOW", 0)
    monkeypatch.setattr("mysticanvas.store.profiles.KEPT_UNUSED", timedelta(days=-1))
    store.profiles.save("key", "model", "{}")
    upkeep.prune()
    assert store.profiles.get("key") is None


def test_the_thread_looks_by_itself(
    store: Store, transitions: Any, add: Any, bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep_module, "EVERY_S", 0.01)
    add()
    transitions.claim(KINDS, lambda job: Run(job, bus))
    beaten = threading.Event()
    monkeypatch.setattr(store.jobs, "heartbeat", lambda _: beaten.set())
    upkeep = Upkeep(transitions, store, keep_internal_days=7)
    upkeep.start()
    assert beaten.wait(WAIT_S)
    upkeep.stop()
