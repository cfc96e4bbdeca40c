"""The orchestrator as it is wired, without a process of its own or of a worker."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tasks import make_task

from mysticanvas import nvidia
from mysticanvas.contracts.health import Health, WorkerState
from mysticanvas.contracts.jobs import JobStatus
from mysticanvas.contracts.memory import IN_USE, MemoryPart
from mysticanvas.contracts.params import GenerateParams
from mysticanvas.contracts.plan import PlanRequest
from mysticanvas.contracts.tracing import ImageProfile
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.errors import ModelFileError, WorkerCrashed
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.app import Orchestrator
from mysticanvas.orchestrator.arbiter import planner, registry
from mysticanvas.orchestrator.arbiter.profiles import Subject
from mysticanvas.orchestrator.ending import Ending
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.orchestrator.supervisor import lifecycle, messages as m, staff
from mysticanvas.orchestrator.supervisor.client import WorkerLost
from mysticanvas.orchestrator.supervisor.deadlines import USUAL
from mysticanvas.orchestrator.supervisor.worker import Worker
from mysticanvas.settings import Settings
from mysticanvas.store import Store

GPU = DeviceMemory(name="cuda:A", total_mib=24_000, free_mib=15_000)
PID = 2**22 + 1
"""Of no process."""


def part(name: str, mib: float) -> MemoryPart:
    return MemoryPart(name=name, mib=mib, known="measured", device="cuda:0")


@contextlib.contextmanager
def importing(worker: Worker) -> Iterator[Any]:
    """A worker that believes in a process which imports its engine; gives what watches that."""
    watch: Any = SimpleNamespace(number=1, client=None, gone=threading.Event())
    for message in (m.Wanted(), m.Spawned(1, PID), m.Answered(1)):
        # What it has done for the first one is to start a process.
        worker._life, _ = lifecycle.step(worker._life, message, time.monotonic(), USUAL)
    worker._watch = watch
    worker.start(on_demand=True)
    try:
        yield watch
    finally:
        worker.tell(m.Retire("test"))
        worker.tell(m.Exited(1, Ending(0)))
        worker.stop()


def lost(_: float) -> Health:
    raise WorkerLost("it does not answer")


@pytest.fixture
def wired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Orchestrator]]:
    """Makes orchestrators on a machine whose driver tells of a GPU."""
    monkeypatch.setattr(nvidia, "memory", lambda: GPU)
    made: list[Orchestrator] = []

    def wired(**settings: Any) -> Orchestrator:
        made.append(Orchestrator(Settings(home=tmp_path / "home", **settings)))
        return made[-1]

    yield wired
    for each in made:
        each.listener.close()
        each.store.close()


def test_the_device_is_the_gpu_while_the_image_worker_has_no_process(
    wired: Callable[..., Orchestrator],
) -> None:
    orchestrator = wired()
    assert not orchestrator.device.memory().is_gpu

    with importing(orchestrator.worker):
        orchestrator.worker.tell(m.Beat(1, False, 900.0, None, device=GPU, device_kind="cuda"))
    seen = orchestrator.device.memory()
    assert (seen.is_gpu, seen.device, seen.holdings) == (True, GPU, [])
    # So it is for whoever asks for room next, and for plans of pictures.
    assert orchestrator.device.arbiter.situation("llm").status == seen
    assert orchestrator.device.planner.device_kind == "cuda"


def test_what_a_job_has_taken_of_a_gpu_by_now_is_asked_of_the_worker_that_runs_it(
    wired: Callable[..., Orchestrator],
) -> None:
    orchestrator = wired(device="cuda")
    worker = orchestrator.worker
    health = Health(
        process="worker",
        state=WorkerState.BUSY,
        version="",
        pid=PID,
        uptime_s=1.0,
        memory_mib=900.0,
        memory_parts=[part("weights.unet", 7_000), part(IN_USE, 5_000)],
        device=GPU,
        device_kind="cuda",
    )
    with importing(worker) as watch:
        watch.client = SimpleNamespace(health=lambda _: health)
        assert [each.mib for each in orchestrator.device.memory().holdings] == [0]
        worker.tell(m.Begun(1, m.Held("sd", "sd")))
        worker.catch_up()
        [holding] = orchestrator.device.memory().holdings
        assert holding.mib == 12_000 + registry.CONTEXT_GPU_MIB
        # One that does not answer leaves what was known before.
        watch.client = SimpleNamespace(health=lost)
        assert orchestrator.device.memory().holdings == [holding]


def test_a_plan_waits_until_the_worker_has_said_what_it_computes_on(
    wired: Callable[..., Orchestrator], monkeypatch: pytest.MonkeyPatch
) -> None:
    orchestrator = wired()
    asked: list[Subject] = []

    def of(subject: Subject, _: object) -> ImageProfile:
        asked.append(subject)
        raise ModelFileError("It is not asked for here.")

    monkeypatch.setattr(orchestrator.device.profiles, "of", of)
    params = GenerateParams(prompt="x", preset="starter")
    request = PlanRequest(project="default", params=params)
    with importing(orchestrator.worker):
        monkeypatch.setattr(planner, "_WORKER_START_S", 0.1)
        with pytest.raises(WorkerCrashed, match="not known what the worker computes on"):
            orchestrator.device.planner.plan(request)
        assert asked == []
        monkeypatch.setattr(planner, "_WORKER_START_S", 20.0)
        beat = m.Beat(1, False, 900.0, None, device_kind="cuda", base_mib=900.0)
        threading.Timer(0.2, orchestrator.worker.tell, [beat]).start()
        with pytest.raises(ModelFileError):
            orchestrator.device.planner.plan(request)
    assert [each.device for each in asked] == ["cuda"]


def test_an_engine_that_does_not_say_what_it_computes_on_is_not_waited_for(
    wired: Callable[..., Orchestrator],
) -> None:
    worker = wired().worker
    with importing(worker):
        worker.tell(m.Beat(1, False, 900.0, None, base_mib=900.0))
        assert worker.computes_on(20.0) is None


def test_a_device_that_is_set_is_known_before_a_worker_says_so(
    wired: Callable[..., Orchestrator],
) -> None:
    orchestrator = wired(device="cuda")
    assert orchestrator.device.memory().device == GPU
    assert orchestrator.device.planner.device_kind == "cuda"


@pytest.mark.parametrize("displaced", [False, True])
def test_only_what_is_its_own_is_removed_at_its_end(tmp_path: Path, displaced: bool) -> None:
    settings = Settings.load({}, home=tmp_path / "home", ipc="unix", spare_worker=False)
    paths = settings.paths
    orchestrator = Orchestrator(settings)
    if displaced:
        shutil.rmtree(paths.root)
        paths.create()
    files = {paths.socket, paths.runtime_file}
    for file in files:
        file.touch()
    orchestrator.close()
    assert {file for file in files if file.exists()} == (files if displaced else set())


WAIT_S = 60


@pytest.fixture
def home(tmp_path: Path) -> Path:
    HomePaths.of(tmp_path / "home").create()
    return tmp_path / "home"


@pytest.fixture
def orchestrator(home: Path) -> Iterator[Orchestrator]:
    """One whose worker has no process."""
    made = Orchestrator(Settings.load(home=str(home)))
    yield made
    made.close()


@pytest.fixture
def transitions(orchestrator: Orchestrator) -> Transitions:
    return orchestrator.transitions


def test_a_job_that_waits_for_the_answer_of_its_worker_does_not_hold_up_the_end(
    home: Path, orchestrator: Orchestrator, add: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, ended, in_time = threading.Event(), threading.Event(), []

    @contextlib.contextmanager
    def admit(*_: object) -> Iterator[None]:
        asked.set()
        in_time.append(ended.wait(WAIT_S))
        raise WorkerLost("it ended")
        yield

    monkeypatch.setattr(orchestrator.dispatcher, "_admit", admit)
    monkeypatch.setattr(orchestrator.worker, "ask_to_end", ended.set)
    job = add("generate", task=make_task(Path("sd")))
    orchestrator.dispatcher.start()
    assert asked.wait(WAIT_S)
    orchestrator.close()
    assert in_time == [True]
    with Store.open(HomePaths.of(home)) as store:
        record = store.jobs.get(job).record
    assert (record.status, record.failures) == (JobStatus.QUEUED, [])


def test_what_the_queue_took_to_end_is_not_given_to_the_workers_again(
    orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, given = [100.0], list[float | None]()

    def slow() -> None:
        now[0] += 4.0

    with monkeypatch.context() as patch:
        patch.setattr(staff, "time", SimpleNamespace(monotonic=lambda: now[0]))
        patch.setattr(orchestrator.dispatcher, "stop", slow)
        for worker in orchestrator.workers:
            patch.setattr(worker, "stop", given.append)
        orchestrator.close()
    left_s = orchestrator.settings.stop_timeout_s + staff.REAPED_S - 4.0
    assert given == [left_s] * len(orchestrator.workers)
