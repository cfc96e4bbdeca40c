"""States of jobs: one final state each, told once, whatever happens at the same time."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tasks import make_task

from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.jobs import JobStatus
from mysticanvas.contracts.problem import Problem
from mysticanvas.errors import ModelFileError
from mysticanvas.orchestrator.queue import rescue, retry
from mysticanvas.orchestrator.queue.generation import Generation
from mysticanvas.orchestrator.queue.retry import Failure
from mysticanvas.orchestrator.queue.run import Run
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.processes import Identity
from mysticanvas.store import Store, StoredJob

KINDS = ("backup", "generate")
WAIT_S = 60
FINAL = {"succeeded", "failed", "cancelled"}


@pytest.fixture
def claim(transitions: Transitions, bus: Any) -> Any:
    return lambda: transitions.claim(KINDS, lambda job: Run(job, bus))


def test_every_state_is_told_in_its_order(transitions: Any, bus: Any, add: Any, claim: Any) -> None:
    job = add()
    run = claim()
    assert run.id == job
    assert run.end()
    assert transitions.succeed(run, result={"files": 3})
    assert bus.statuses(job) == ["queued", "running", "succeeded"]
    assert transitions.status.running == 0


def test_the_result_of_a_job_is_kept(store: Store, transitions: Any, add: Any, claim: Any) -> None:
    job = add()
    transitions.succeed(claim(), result={"files": 3, "names": ["a"]})
    assert store.jobs.get(job).record.result == {"files": 3, "names": ["a"]}


def test_a_poison_job_is_parked_with_the_reason_of_every_attempt(
    store: Store, transitions: Any, add: Any, claim: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_S", 0.0)
    job = add()
    for attempt in range(1, retry.MAX_FAILURES + 1):
        transitions.lose(claim(), Failure.WORKER_LOST, f"reason {attempt}")
    record = store.jobs.get(job).record
    assert record.status is JobStatus.FAILED
    assert record.failures == [f"attempt {k}: reason {k}" for k in (1, 2, 3)]
    assert record.error is not None
    assert record.error.code == "worker_crashed"
    assert all(f"reason {k}" in record.error.detail for k in (1, 2, 3))
    assert claim() is None
    other = add()
    assert claim().id == other


def test_a_worker_that_was_not_there_does_not_count(
    store: Store, transitions: Any, add: Any, claim: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_S", 0.0)
    job = add()
    for _ in range(retry.MAX_FAILURES + 1):
        transitions.lose(claim(), Failure.WORKER_MISSING, "it is being started")
    record = store.jobs.get(job).record
    assert record.status is JobStatus.QUEUED
    assert record.failures == []
    transitions.lose(claim(), Failure.WORKER_MISSING, "it does not start")
    record = store.jobs.get(job).record
    assert record.status is JobStatus.FAILED
    assert "it does not start" in record.error.detail


def test_a_cancellation_outlives_the_loss_of_the_worker(
    store: Store, transitions: Any, add: Any, claim: Any
) -> None:
    job = add()
    run = claim()
    transitions.cancel(job)
    transitions.lose(run, Failure.WORKER_LOST, "it crashed as well")
    assert store.jobs.get(job).record.status is JobStatus.CANCELLED
    assert claim() is None


@pytest.mark.parametrize("met", [Failure.PREEMPTED, Failure.ORCHESTRATOR_STOPPED])
def test_only_attempts_in_a_row_that_reached_no_worker_give_a_job_up(
    store: Store,
    transitions: Any,
    add: Any,
    claim: Any,
    monkeypatch: pytest.MonkeyPatch,
    met: Failure,
) -> None:
    monkeypatch.setattr(retry, "FIRST_S", 0.0)
    missing = Failure.WORKER_MISSING
    job = add()
    for failure in [met] * retry.MAX_UNBEGUN + [missing, met] * retry.MAX_UNBEGUN:
        transitions.lose(claim(), failure, "it is being started")
    assert store.jobs.get(job).record.status is JobStatus.QUEUED
    for _ in range(retry.MAX_UNBEGUN):
        transitions.lose(claim(), missing, "it does not start")
    assert store.jobs.get(job).record.status is JobStatus.FAILED
    assert transitions._past == {}


@pytest.mark.parametrize("reason", [Failure.PREEMPTED, Failure.ORCHESTRATOR_STOPPED])
def test_a_cancellation_outweighs_what_a_run_is_being_stopped_for(
    store: Store, transitions: Any, add: Any, claim: Any, reason: Failure
) -> None:
    job = add()
    run = claim()
    run.stop(reason)
    transitions.cancel(job)
    run.stop(reason)
    transitions.stop(run)
    assert store.jobs.get(job).record.status is JobStatus.CANCELLED
    assert claim() is None


def test_a_job_that_its_worker_has_not_begun_is_cancelled_at_once(
    store: Store, transitions: Any, bus: Any, add: Any
) -> None:
    job = add("generate", task=make_task(Path("sd")))
    run = transitions.claim(["generate"], lambda job: Generation(job, bus, lambda: False))
    transitions.cancel(job)
    assert store.jobs.get(job).record.status is JobStatus.CANCELLED
    assert run.stopped
    # What carries the run out notices later.
    transitions.stop(run)
    assert bus.statuses(job) == ["queued", "running", "cancelled"]


def test_a_failure_is_final(store: Store, transitions: Any, add: Any, claim: Any) -> None:
    job = add()
    problem = Problem.of(ModelFileError("damaged"))
    transitions.fail(claim(), problem)
    assert store.jobs.get(job).record.error == problem


def outcome(transitions: Transitions, run: Run, how: str) -> None:
    """What the thread that carries a run out does in the end."""
    if how == "succeed":
        if run.end():
            transitions.succeed(run, result={})
        else:
            transitions.stop(run)
    elif how == "fail":
        transitions.fail(run, Problem.of(ModelFileError("damaged")))
    else:
        transitions.lose(run, Failure.WORKER_LOST, "gone")


def test_races_leave_one_final_state_and_one_final_event(
    store: Store,
    transitions: Any,
    bus: Any,
    add: Any,
    claim: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four threads run what is there, each in another way; four cancel everything."""
    monkeypatch.setattr(retry, "FIRST_S", 0.0)
    jobs = [add() for _ in range(24)]
    gate = threading.Barrier(8)

    def work(how: str) -> None:
        gate.wait()
        while (run := claim()) is not None:
            outcome(transitions, run, how)

    def cancel(which: list[str]) -> None:
        gate.wait()
        for job in which:
            transitions.cancel(job)

    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(work, how) for how in ("succeed", "succeed", "fail", "lose")]
        done += [pool.submit(cancel, jobs[k::4][::-1]) for k in range(4)]
        for future in done:
            future.result()
    for job in jobs:
        told = bus.statuses(job)
        assert sum(status in FINAL for status in told) == 1, told
        assert told[-1] in FINAL
        assert store.jobs.get(job).record.status == told[-1]
    assert transitions.status == transitions.status.model_copy(update={"queued": 0, "running": 0})


def test_a_paused_queue_begins_nothing_and_stays_paused(
    store: Store, transitions: Any, bus: Any, add: Any, claim: Any
) -> None:
    before = add()
    running = claim()
    transitions.pause(True)
    after = add()
    assert claim() is None
    assert transitions.due_s(KINDS) is None
    assert transitions.shown(store.jobs.get(after).record).paused
    transitions.succeed(running, result={})
    assert store.jobs.get(before).record.status is JobStatus.SUCCEEDED

    again = Transitions(store, bus, Identity.of(os.getpid()))
    assert again.status.paused
    assert again.claim(KINDS, lambda job: Run(job, bus)) is None
    again.pause(False)
    assert not Transitions(store, bus, Identity.of(os.getpid())).status.paused
    assert [data["paused"] for kind, data in bus.published if kind == "queue"] == [True, False]
    assert again.claim(KINDS, lambda job: Run(job, bus)).id == after


def began_by(store: Store, job: str, runner: Identity) -> StoredJob:
    claimed = store.jobs.claim(KINDS, rescue.to_text(runner))
    assert claimed is not None
    assert claimed.record.id == job
    return claimed


def test_jobs_of_a_dead_process_are_taken_up_as_each_asks(
    store: Store, transitions: Any, bus: Any, add: Any
) -> None:
    me = Identity.of(os.getpid())
    dead = me._replace(started_at=me.started_at - 60)
    again, never, other = add(), add(after_crash="cancel"), add()
    for job, runner in ((again, dead), (never, dead), (other, me)):
        began_by(store, job, runner)
    elsewhere = Transitions(store, bus, me._replace(pid=1))
    elsewhere.rescue()
    assert store.jobs.get(again).record.status is JobStatus.QUEUED
    assert len(store.jobs.get(again).record.failures) == 1
    given_up = store.jobs.get(never).record
    assert given_up.status is JobStatus.CANCELLED
    assert "the orchestrator ended while it ran" in given_up.error.detail
    assert store.jobs.get(other).record.status is JobStatus.RUNNING


def test_a_run_whose_end_could_not_be_recorded_is_rescued_too(
    store: Store, transitions: Any, add: Any, claim: Any
) -> None:
    job = add()
    run = claim()
    transitions.rescue()
    assert store.jobs.get(job).record.status is JobStatus.RUNNING
    transitions.abandon(run)
    transitions.rescue()
    record = store.jobs.get(job).record
    assert record.status is JobStatus.QUEUED
    assert record.failures == ["attempt 1: its end could not be recorded"]


def test_jobs_whose_task_cannot_be_read_fail_and_let_those_behind_go_on(
    store: Store, transitions: Any, bus: Any, add: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_S", 0.0)
    ran, waits = (add("generate", task=make_task(Path("sd"))) for _ in range(2))
    assert store.jobs.claim(["generate"], "a process that is gone").record.id == ran
    with store.database.write() as transaction:
        assert transaction.change("UPDATE jobs SET task = '{}'") == 2
    behind = add("generate", task=make_task(Path("sd")))
    # As after an upgrade, when jobs are known by their rows alone.
    store.jobs._known.clear()

    transitions.rescue()
    begun = [
        transitions.claim(["generate"], lambda job: Generation(job, bus, lambda: False))
        for _ in range(3)
    ]
    assert [run and run.id for run in begun] == [None, None, behind]
    for job in (ran, waits):
        record = store.jobs.get(job).record
        assert record.status is JobStatus.FAILED
        assert "cannot be read" in record.error.detail
        assert bus.statuses(job)[-1] == "failed"


def test_one_internal_job_of_a_kind_waits_at_a_time(
    store: Store, transitions: Any, add: Any, claim: Any
) -> None:
    record = store.jobs.get(add(internal=True)).record
    for _ in range(2):
        transitions.add_unless_waiting(
            record.model_copy(update={"id": record.id[:-1] + "0"}), "{}", {}
        )
    assert store.jobs.page(internal=True).total == 1
    assert store.jobs.page().total == 0


def test_interactive_work_is_seen_while_it_waits_and_while_it_runs(
    transitions: Any, add: Any, claim: Any
) -> None:
    add()
    assert not transitions.somebody_waits()
    add("generate", priority="background")
    assert not transitions.somebody_waits()
    job = add("generate", priority="interactive")
    assert transitions.somebody_waits()
    run = claim()
    assert run.id == job
    assert transitions.somebody_waits()
    transitions.succeed(run)
    assert not transitions.somebody_waits()


def test_who_is_idle_is_handed_a_job_in_the_transaction_that_stores_it(
    store: Store, transitions: Any, bus: Any, add: Any, claim: Any, idle: Any
) -> None:
    thread = idle()
    before = store.database.commits
    job, other = add(), add()
    assert store.database.commits == before + 2
    record = store.jobs.get(job).record
    assert (record.status, record.attempts) == (JobStatus.RUNNING, 1)
    assert record.started_at is not None
    assert store.jobs.get(other).record.status is JobStatus.QUEUED
    thread.join(WAIT_S)
    assert not thread.is_alive()
    run = claim()
    assert run.id == job
    assert transitions.succeed(run, result={})
    assert bus.statuses(job) == ["queued", "running", "succeeded"]
    assert claim().id == other


def test_a_job_of_another_kind_is_not_handed_over(
    store: Store, add: Any, claim: Any, idle: Any
) -> None:
    idle(["thumbnails"])
    job = add()
    assert store.jobs.get(job).record.status is JobStatus.QUEUED
    assert claim().id == job


@pytest.mark.parametrize("held", ["paused", "older"])
def test_a_job_is_handed_to_nobody_while_it_has_to_wait(
    store: Store, transitions: Any, add: Any, idle: Any, held: str
) -> None:
    if held == "paused":
        transitions.pause(True)
    else:
        add()
    idle()
    job = add()
    assert store.jobs.get(job).record.status is JobStatus.QUEUED


def test_a_job_that_is_known_already_is_not_handed_over_again(
    store: Store, transitions: Any, add: Any, claim: Any, idle: Any
) -> None:
    record = store.jobs.get(add()).record
    run = claim()
    transitions.add(record.model_copy(update={"id": new_id()}), "{}", None, "one key", {})
    transitions.succeed(claim(), result={})
    idle()
    again = record.model_copy(update={"id": new_id()})
    known, created = transitions.add(again, "{}", None, "one key", {})
    assert (known.status, created) == (JobStatus.SUCCEEDED, False)
    assert claim() is None
    assert transitions.runs() == [run]


def test_a_job_that_was_handed_over_can_be_cancelled_before_it_is_taken_up(
    store: Store, transitions: Any, add: Any, claim: Any, idle: Any
) -> None:
    idle()
    job = add()
    transitions.cancel(job)
    run = claim()
    assert run.cancelled
    transitions.stop(run)
    assert store.jobs.get(job).record.status is JobStatus.CANCELLED
