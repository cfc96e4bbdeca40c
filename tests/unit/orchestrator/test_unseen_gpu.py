"""Plans for a GPU that no driver tells anything of, as in some containers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tasks import make_task

from mysticanvas import nvidia
from mysticanvas.contracts.health import WorkerState, WorkerStatus
from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.params import GenerateParams
from mysticanvas.contracts.plan import PlanRequest
from mysticanvas.contracts.tracing import ProfileOrder, TraceAnswer
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.errors import Conflict
from mysticanvas.orchestrator.app import Orchestrator
from mysticanvas.orchestrator.arbiter import registry
from mysticanvas.orchestrator.arbiter.arbiter import Arbiter
from mysticanvas.orchestrator.arbiter.feedback import Feedback
from mysticanvas.orchestrator.arbiter.planner import Planner
from mysticanvas.orchestrator.arbiter.profiles import Profiles
from mysticanvas.settings import Settings
from mysticanvas.store import Store
from mysticanvas.workers.engine import Options
from mysticanvas.workers.image import attention, contexts, devices
from mysticanvas.workers.image.engine import ImageEngine

GPU = DeviceMemory(name="cuda:A", total_mib=20_000, free_mib=15_000)
SYSTEM = DeviceMemory(name="system memory", total_mib=130_000, free_mib=120_000)


class Process:
    """A worker on CUDA that has just been started, and who talks to it."""

    kind = "image"

    def __init__(self, engine: ImageEngine) -> None:
        self._engine = engine
        self.client = self
        self.device: DeviceMemory | None = None
        self.orders: list[ProfileOrder] = []

    @property
    def status(self) -> WorkerStatus:
        return WorkerStatus(
            kind=self.kind, pid=1, state=WorkerState.READY, restarts=0, memory=500.0, base=400.0,
            device=self.device, device_kind="cuda",
        )  # fmt: skip

    @contextlib.contextmanager
    def asked(self) -> Iterator[None]:
        yield

    def profile(self, order: ProfileOrder) -> TraceAnswer:
        self.orders.append(order)
        return self._engine.profile(order)

    def look(self) -> None:
        # As the engine tells it.
        self.device = GPU if devices.has_context(torch.device("cuda")) else None


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Process:
    engine = ImageEngine(Options(images=tmp_path, device="cpu", threads=1))
    has_context: list[object] = []

    def made(device: object) -> list[MemoryPart]:
        has_context.append(device)
        return []

    monkeypatch.setattr(engine, "_device", torch.device("cuda"))
    monkeypatch.setattr(devices, "has_context", lambda _: bool(has_context))
    monkeypatch.setattr(contexts, "made", made)
    monkeypatch.setattr(devices, "copies_input", lambda _: True)
    monkeypatch.setattr(devices, "describe", lambda _: "cuda:A")
    monkeypatch.setattr(attention, "taken", lambda *_: "flash")
    monkeypatch.setattr(devices, "workspace", lambda _: devices._workspace_of(9))
    return Process(engine)


@pytest.fixture
def make_planner(process: Process, store: Store, bus: Any) -> Callable[[], Planner]:
    def make_planner() -> Planner:
        presets: Any = None  # of requests, not of jobs
        worker: Any = process
        profiles = Profiles(store.profiles)
        arbiter = Arbiter([worker], lambda: registry.status([process.status], SYSTEM, None))
        feedback = Feedback(store.measurements, profiles, bus, lambda _: None)
        return Planner(presets, profiles, feedback, arbiter, worker, Settings(threads=1))

    return make_planner


@pytest.mark.fault("a GPU of which no driver tells anything", "the worker is asked before a plan")
def test_a_job_whose_profile_is_known_has_the_worker_look_at_its_gpu(
    process: Process, make_planner: Callable[[], Planner], tiny_sd: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    lease: Any = process
    task = make_task(tiny_sd)
    with make_planner().admitted(task, lambda: lease, lambda: False) as first:
        assert first is not None
    # A new process, which has no context and need not be asked about the model any more.
    made: list[object] = []

    def made_again(device: object) -> list[MemoryPart]:
        made.append(device)
        return []

    monkeypatch.setattr(devices, "has_context", lambda _: bool(made))
    monkeypatch.setattr(contexts, "made", made_again)
    process.device = None
    with make_planner().admitted(task, lambda: lease, lambda: False) as plan:
        assert plan is not None
        assert plan.free_mib <= GPU.free_mib
    assert made


@pytest.mark.fault("a GPU full to the brim, of which no driver tells", "no plan; the job is tried")
def test_a_gpu_that_cannot_be_looked_at_is_not_planned_for(
    process: Process, make_planner: Callable[[], Planner], tiny_sd: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def full(_: object) -> list[MemoryPart]:
        raise torch.AcceleratorError("CUDA error: out of memory")

    monkeypatch.setattr(contexts, "made", full)
    lease: Any = process
    with make_planner().admitted(make_task(tiny_sd), lambda: lease, lambda: False) as plan:
        assert plan is None


def test_the_memory_of_the_system_is_not_told_as_that_of_the_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvidia, "memory", lambda: None)
    orchestrator = Orchestrator(Settings(home=tmp_path / "home", device="cuda"))
    device = orchestrator.device
    monkeypatch.setattr(device.profiles, "of", lambda *_: SimpleNamespace(device="cuda"))
    params = GenerateParams(prompt="x", preset="starter")
    try:
        with pytest.raises(Conflict, match="not known before the first job"):
            device.planner.plan(PlanRequest(project="default", params=params))
    finally:
        orchestrator.close()
