"""Jobs on a real worker process that dies at any step of them, or that somebody else waits for."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mortal_worker
import pytest
from house import House
from mortal_worker import STEPS
from support import kill
from tasks import as_it_comes, make_task

from mysticanvas import processes
from mysticanvas.contracts.health import WorkerState
from mysticanvas.contracts.jobs import JobRecord, JobStatus
from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.problem import Problem
from mysticanvas.contracts.vram import Unloaded
from mysticanvas.contracts.worker import GenerateTask
from mysticanvas.errors import DoesNotFit
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator.arbiter.feedback import Feedback
from mysticanvas.orchestrator.arbiter.profiles import Profiles
from mysticanvas.orchestrator.queue import retry
from mysticanvas.orchestrator.queue.dispatcher import Dispatcher
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.orchestrator.supervisor import breaker, deadlines, messages
from mysticanvas.orchestrator.supervisor.client import Unreached
from mysticanvas.orchestrator.supervisor.launcher import Launch
from mysticanvas.orchestrator.supervisor.worker import Listener, Worker
from mysticanvas.settings import HomePaths
from mysticanvas.store import Store

TESTS = Path(mortal_worker.__file__).parent
WAIT_S = 60

Submit = Callable[..., str]


@pytest.fixture
def paths(tmp_path: Path, store: Store) -> HomePaths:
    return HomePaths.of(tmp_path / "home")


@pytest.fixture
def worker(paths: HomePaths, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    # It dies again and again here, and no breaker is to end that.
    monkeypatch.setattr(breaker, "MAX_FAILURES", 1000)
    monkeypatch.setattr(breaker, "FIRST_S", 0.001)
    arguments = ["--engine", "mortal", "--images", str(paths.images), "--threads", "1"]
    launch = Launch(
        kind="mortal",
        arguments=[*arguments, "--parent-pid", str(os.getpid())],
        environment=processes.child_environment({"PYTHONPATH": str(TESTS)}),
        log=LogFile(paths.logs / "worker.jsonl"),
        module="mortal_worker",
    )
    worker = Worker(launch, Listener(lambda _: None, lambda _: None), stop_timeout_s=10)
    worker.start()
    yield worker
    worker.stop()


@pytest.fixture
def loads() -> list[float]:
    """Seconds that loading is heard to take."""
    return []


@pytest.fixture
def unloads() -> list[Unloaded]:
    """What is heard to have left the device."""
    return []


@pytest.fixture
def dispatcher(
    transitions: Transitions,
    store: Store,
    bus: Any,
    worker: Worker,
    loads: list[float],
    unloads: list[Unloaded],
) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(
        transitions,
        store,
        bus,
        worker,
        admit=as_it_comes,
        feedback=Feedback(store.measurements, Profiles(), bus, lambda _: None),
        keep_alive_s=900,
        settle_s=10,
        loaded=loads.append,
        unloaded=unloads.append,
    )
    yield dispatcher
    dispatcher.stop()


@pytest.fixture
def submit(store: Store, transitions: Transitions) -> Submit:
    """Queues a batch of two pictures and gives its id."""

    def submit(
        prompt: str,
        seed: int = 7,
        priority: str = "interactive",
        model: str = "sd",
        preset: str = "tiny",
        dtype: str = "auto",
    ) -> str:
        task = make_task(Path(model), prompt=prompt, seed=seed, num_images=2)
        recipe = task.recipe.model_copy(update={"preset": preset})
        of_dtype = task.model.model_copy(update={"dtype": dtype})
        task = task.model_copy(update={"recipe": recipe, "model": of_dtype})
        record = JobRecord.model_validate(
            {
                "id": task.job_id,
                "kind": "generate",
                "status": JobStatus.QUEUED,
                "project": "default",
                "priority": priority,
                "request_hash": task.recipe.request_hash,
                "created_at": task.created_at,
            }
        )
        return transitions.add(record, "{}", task, None)[0].id

    return submit


@pytest.fixture
def reached(store: Store, transitions: Transitions) -> Callable[..., JobRecord]:
    """Waits until a job is in a state, of an attempt if one is given; the job."""

    def reached(job: str, status: str, attempt: int | None = None) -> JobRecord:
        def there() -> bool:
            record = store.jobs.get(job).record
            return record.status == status and attempt in (None, record.attempts)

        with transitions.changed:
            assert transitions.changed.wait_for(there, WAIT_S), store.jobs.get(job).record
        return store.jobs.get(job).record

    return reached


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


def test_jobs_of_the_loaded_model_go_before_those_that_need_another(
    dispatcher: Dispatcher, submit: Submit, reached: Any, bus: Any
) -> None:
    jobs = [submit("begin 0", model=model) for model in ("sd", "sdxl", "sd")]
    dispatcher.start()
    for job in jobs:
        reached(job, "succeeded")
    began = [d["id"] for kind, d in bus.published if kind == "job" and d["status"] == "running"]
    assert began == [jobs[0], jobs[2], jobs[1]]


def test_only_a_load_says_what_loading_takes(
    dispatcher: Dispatcher, loads: list[float], submit: Submit, reached: Any
) -> None:
    dispatcher.start()
    for _ in range(2):
        reached(submit("a castle"), "succeeded")
    assert loads == [mortal_worker.LOAD_S]


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
