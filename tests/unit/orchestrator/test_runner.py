"""Jobs of the orchestrator's own process, on a real store and real threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.jobs import HostKind, JobStatus
from mysticanvas.errors import InvalidRequest, JobCancelled, NotFound
from mysticanvas.orchestrator import host_jobs
from mysticanvas.orchestrator.queue import kinds, lane, runner as runner_module
from mysticanvas.orchestrator.queue.context import JobContext
from mysticanvas.orchestrator.queue.kinds import HostJob
from mysticanvas.orchestrator.queue.run import Run
from mysticanvas.orchestrator.queue.runner import Context, Runner
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.store import Store

WAIT_S = 60


class Where(Contract):
    path: str


Work = Callable[[JobContext], dict[str, Any]]


@pytest.fixture
def start(transitions: Transitions, bus: Any) -> Iterator[Callable[[Work], Runner]]:
    """Starts a runner whose `backup` does that; it is stopped with the test."""
    started: list[Runner] = []

    def start(work: Work) -> Runner:
        runner = Runner(transitions, bus, {"backup": HostJob(work)})
        runner.start()
        started.append(runner)
        return runner

    yield start
    for runner in started:
        runner.stop()


def ended(store: Store, transitions: Transitions, job: str) -> Any:
    with transitions.changed:
        assert transitions.changed.wait_for(lambda: store.jobs.get(job).record.status.final, WAIT_S)
    return store.jobs.get(job).record


def test_a_job_is_carried_out_with_its_parameters(
    store: Store, transitions: Any, bus: Any, start: Any, add: Any
) -> None:
    def work(context: JobContext) -> dict[str, Any]:
        context.check()
        context.progress(0.5, "copying")
        return {"path": context.params["path"], "project": context.project, "id": context.job_id}

    job = add(params={"path": "/tmp/x"}, project="castle")
    start(work)
    record = ended(store, transitions, job)
    assert record.status is JobStatus.SUCCEEDED
    assert record.result == {"path": "/tmp/x", "project": "castle", "id": job}
    assert bus.statuses(job) == ["queued", "running", "succeeded"]


def test_what_it_raises_is_the_failure_of_the_job_and_of_no_other(
    store: Store, transitions: Any, start: Any, add: Any
) -> None:
    def work(context: JobContext) -> dict[str, Any]:
        if context.params.get("how") == "ours":
            raise NotFound("there is no such file")
        if context.params.get("how") == "theirs":
            raise ZeroDivisionError
        return {}

    jobs = [add(params={"how": how}) for how in ("ours", "theirs", "well")]
    start(work)
    records = [ended(store, transitions, job) for job in jobs]
    assert [record.status for record in records] == ["failed", "failed", "succeeded"]
    assert [record.error and record.error.code for record in records] == [
        "not_found",
        "internal_error",
        None,
    ]


@pytest.mark.parametrize("where", ["claim", "due_s", "between_jobs"])
def test_whatever_a_lane_meets_between_two_jobs_it_goes_on(
    store: Store,
    transitions: Any,
    add: Any,
    start: Any,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    owner = Runner if where == "between_jobs" else Transitions
    usual, met = getattr(owner, where), threading.Event()

    def fail_once(*arguments: Any) -> Any:
        if met.is_set():
            return usual(*arguments)
        met.set()
        raise ZeroDivisionError

    monkeypatch.setattr(lane, "_AFTER_ERROR_S", 0.0)
    monkeypatch.setattr(owner, where, fail_once)
    start(lambda _: {})
    assert met.wait(WAIT_S)
    assert ended(store, transitions, add()).status is JobStatus.SUCCEEDED


def test_a_job_is_cancelled_at_its_next_check(
    store: Store, transitions: Any, start: Any, add: Any
) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    def work(context: JobContext) -> dict[str, Any]:
        begun.set()
        assert cancelled.wait(WAIT_S)
        context.check()
        raise AssertionError("check has to end the job")

    job = add()
    start(work)
    assert begun.wait(WAIT_S)
    transitions.cancel(job)
    cancelled.set()
    assert ended(store, transitions, job).status is JobStatus.CANCELLED


def test_a_stop_puts_the_job_back(store: Store, transitions: Any, start: Any, add: Any) -> None:
    begun = threading.Event()

    def work(context: JobContext) -> dict[str, Any]:
        begun.set()
        while True:
            context.check()

    job = add()
    runner = start(work)
    assert begun.wait(WAIT_S)
    runner.stop()
    record = store.jobs.get(job).record
    assert record.status is JobStatus.QUEUED
    assert record.failures == []


@pytest.fixture
def running(transitions: Any, bus: Any, add: Any) -> Context:
    """The context of a job that runs, while somebody waits for a picture."""
    add()
    run = transitions.claim(["backup"], lambda job: Run(job, bus))
    add("generate", priority="interactive")
    return Context(run, transitions)


def test_a_check_waits_until_nobody_waits_for_the_machine(
    transitions: Any, bus: Any, running: Context
) -> None:
    passed = threading.Event()
    checking = threading.Thread(target=lambda: (running.check(), passed.set()))
    checking.start()
    picture = transitions.claim(["generate"], lambda job: Run(job, bus))
    assert not passed.is_set()
    transitions.succeed(picture)
    checking.join(WAIT_S)
    assert passed.is_set()


def test_a_check_waits_no_longer_than_its_bound(
    running: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "YIELD_S", 0.01)
    monkeypatch.setattr(runner_module, "SLICE_S", 1e9)
    running.check()
    monkeypatch.setattr(runner_module, "YIELD_S", 1e6)
    running.check()


def test_a_check_that_waits_is_ended_by_a_cancellation(transitions: Any, running: Context) -> None:
    outcome: list[str] = []

    def check() -> None:
        with pytest.raises(JobCancelled):
            running.check()
        outcome.append("cancelled")

    checking = threading.Thread(target=check)
    checking.start()
    transitions.cancel(running.job_id)
    checking.join(WAIT_S)
    assert outcome == ["cancelled"]


def test_what_somebody_waits_for_does_not_step_aside(transitions: Any, bus: Any, add: Any) -> None:
    add(priority="interactive")
    run = transitions.claim(["backup"], lambda job: Run(job, bus))
    add("generate", priority="interactive")
    begun = time.monotonic()
    Context(run, transitions).check()
    assert time.monotonic() - begun < runner_module.YIELD_S


def test_nothing_waits_in_a_lane_behind_a_job_of_hours() -> None:
    known = {*get_args(HostKind)}
    lanes = host_jobs.lanes({kind: HostJob(lambda _: {}) for kind in known})
    assert sorted(kind for kinds in lanes.values() for kind in kinds) == sorted(known)
    for long in ("export", "thumbnails", "pull", "weigh"):
        assert [{*kinds} for kinds in lanes.values() if long in kinds] == [{long}]


TABLE = {"export": HostJob(lambda _: {}, Where), "index": HostJob(lambda _: {})}


def test_between_jobs_each_kind_tidies_up(transitions: Any, bus: Any) -> None:
    tidied: list[str] = []
    table = {
        "export": HostJob(lambda _: {}, tidy=lambda: tidied.append("export")),
        "index": HostJob(lambda _: {}),
    }
    Runner(transitions, bus, table).between_jobs()
    assert tidied == ["export"]


def test_parameters_are_checked_before_there_is_a_job() -> None:
    assert kinds.checked(TABLE, "export", {"path": "/tmp"}) == {"path": "/tmp"}
    with pytest.raises(InvalidRequest, match="path: Field required"):
        kinds.checked(TABLE, "export", {})
    with pytest.raises(InvalidRequest, match="surprise"):
        kinds.checked(TABLE, "index", {"surprise": 1})


def test_a_kind_that_nothing_carries_out_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="autotag.*: export, generate, index"):
        kinds.checked(TABLE, "autotag", {})


def test_a_job_that_is_handed_to_a_runner_that_ends_goes_back_to_the_queue(
    store: Store, transitions: Any, bus: Any, add: Any, idle: Any
) -> None:
    runner = Runner(transitions, bus, {"backup": HostJob(lambda _: {})})
    idle(["backup"], runner.begin)
    job = add()
    assert store.jobs.get(job).record.status is JobStatus.RUNNING
    runner._stopping.set()
    runner._loop()
    record = store.jobs.get(job).record
    assert (record.status, record.failures) == (JobStatus.QUEUED, [])
