"""A planner before a job on CUDA, with the image engine that it asks; what only a GPU could tell is
given."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from tasks import make_task

from benchmarks.tenants import Machine, Tenant
from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.tracing import ProfileOrder, TraceAnswer
from mysticanvas.contracts.worker import GenerateTask, Made
from mysticanvas.errors import ModelFileError
from mysticanvas.orchestrator.arbiter.arbiter import Arbiter
from mysticanvas.orchestrator.arbiter.feedback import Feedback
from mysticanvas.orchestrator.arbiter.planner import Planner
from mysticanvas.orchestrator.arbiter.profiles import Profiles
from mysticanvas.orchestrator.supervisor.messages import Held
from mysticanvas.settings import Settings
from mysticanvas.store import Store
from mysticanvas.vram import image
from mysticanvas.workers.engine import Control, Options
from mysticanvas.workers.image import attention, contexts, devices
from mysticanvas.workers.image.engine import ImageEngine

Planned = Callable[[GenerateTask], Plan]


class Client:
    """Asks an engine in this process."""

    def __init__(self, engine: ImageEngine) -> None:
        self._engine = engine
        self.orders: list[ProfileOrder] = []
        self.tells_reserves = True
        self.may_take_long = False

    def profile(self, order: ProfileOrder) -> TraceAnswer:
        assert self.may_take_long, "it would be taken to hang"
        self.orders.append(order)
        if order.works and not self.tells_reserves:
            raise ModelFileError("It cannot be told.")
        return self._engine.profile(order)


class Leased(NamedTuple):
    """The process of a tenant, which is there already."""

    client: Client
    tenant: Tenant

    @contextlib.contextmanager
    def asked(self) -> Iterator[None]:
        """Nobody else wants it meanwhile."""
        self.client.may_take_long = True
        yield
        self.client.may_take_long = False

    def look(self) -> None:
        """There is no device to look at, but what it computes on is told."""
        self.tenant.device_kind = "cuda"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    engine = ImageEngine(Options(images=tmp_path, device="cpu", threads=1))
    monkeypatch.setattr(engine, "_device", torch.device("cuda"))
    monkeypatch.setattr(devices, "has_context", lambda _: True)
    monkeypatch.setattr(devices, "copies_input", lambda _: True)
    monkeypatch.setattr(attention, "taken", lambda *_: "flash")
    monkeypatch.setattr(devices, "workspace", lambda _: devices._workspace_of(9))
    return Client(engine)


@pytest.fixture
def machine() -> Machine:
    return Machine(20_000, Tenant("image"))


@pytest.fixture
def planner(client: Client, machine: Machine, store: Store, bus: Any) -> Planner:
    worker: Any = machine.tenants[0]
    profiles = Profiles()
    return Planner(
        presets=None,  # type: ignore[arg-type]  # of requests, not of jobs
        profiles=profiles,
        feedback=Feedback(store.measurements, profiles, bus, lambda _: None),
        arbiter=Arbiter([worker], lambda: machine.memory().model_copy(update={"is_gpu": True})),
        worker=worker,
        settings=Settings(threads=1),
    )


@pytest.fixture
def planned(client: Client, machine: Machine, planner: Planner) -> Planned:
    def plan(task: GenerateTask) -> Plan:
        lease: Any = Leased(client, machine.tenants[0])
        with planner.admitted(task, lambda: lease, lambda: False) as found:
            assert found is not None
            return found

    return plan


def reserve(plan: Plan) -> tuple[float, str]:
    [term] = [each for each in plan.terms if each.name == "reserve"]
    return term.mib, term.known


def test_the_worker_is_asked_what_a_job_reserves_and_not_again(
    client: Client, planned: Planned, tiny_sd: Path
) -> None:
    task = make_task(tiny_sd, num_images=2)
    first = planned(task)
    assert reserve(first)[0] > 0
    assert reserve(first)[1] == "traced"
    [order] = [each for each in client.orders if each.works]
    assert [(each.sliced, each.tile_px, each.decode_on_cpu) for each in order.works] == [
        (False, None, False),
        (True, None, False),
        (True, None, True),
    ]
    count = len(client.orders)
    assert planned(task).terms == first.terms
    assert len(client.orders) == count


def test_an_engine_that_cannot_tell_leaves_an_assumed_one(
    client: Client, planned: Planned, tiny_sd: Path
) -> None:
    client.tells_reserves = False
    assert reserve(planned(make_task(tiny_sd))) == (48, "assumed")


def test_a_job_that_fits_only_offloaded_is_run_so_by_the_worker(
    machine: Machine, client: Client, planned: Planned, tiny_sd: Path, tmp_path: Path
) -> None:
    # An assumed reserve, which is that of all ways then: it is more than all of these weights.
    client.tells_reserves = False
    task = make_task(tiny_sd, task={"allowed": "exact"})
    plain = planned(task)
    assert plain.decision == "proceed"
    machine.total_mib = plain.total_mib - 0.01
    plan = planned(task)
    assert (plan.decision, plan.mitigations) == ("offload", ("offload_model",))
    assert plan.total_mib < plain.total_mib
    # Here, with the hooks that there would be on a GPU.
    engine = ImageEngine(Options(images=tmp_path, device="cpu", threads=1))
    recipe = task.recipe.model_copy(update={"mitigations": plan.mitigations})
    messages: list[Any] = []
    engine.generate(task, messages.append, Control())
    engine.generate(task.model_copy(update={"recipe": recipe}), messages.append, Control())
    first, second = [each for each in messages if isinstance(each, Made)]
    assert first.pixels_sha256 == second.pixels_sha256
    assert second.recipe.mitigations == plan.mitigations
    assert second.recipe.hash == first.recipe.hash


def test_weights_in_system_memory_are_counted_as_what_the_worker_may_have_there(
    machine: Machine, client: Client
) -> None:
    worker: Any = machine.tenants[0]
    part = MemoryPart(name="weights.unet", mib=3_000, known="exact", device="cpu")
    status = worker.status.model_copy(update={"memory_parts": [part]})
    worker = SimpleNamespace(kind="image", status=status)
    arbiter = Arbiter([worker], machine.memory, free_mib=lambda: 500.0)
    assert arbiter.situation("image").system_mib == 3_500


@pytest.mark.fault("a GPU too full for a context", "what it does is assumed, and room is made")
def test_a_device_that_is_too_full_to_be_asked_is_planned_for_all_the_same(
    client: Client, machine: Machine, planned: Planned, tiny_sd: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def full(_: object) -> list[MemoryPart]:
        raise torch.AcceleratorError("CUDA error: out of memory")

    monkeypatch.setattr(devices, "has_context", lambda _: False)
    monkeypatch.setattr(contexts, "made", full)
    monkeypatch.setattr(devices, "describe", lambda _: "cuda:A")
    # As the worker says from its first word on.
    machine.tenants[0].device_kind = "cuda"
    plan = planned(make_task(tiny_sd))
    assert client.orders
    assert plan.decision == "proceed"
    assert plan.total_mib > 0
    # The first of a size is asked about again once there is room.
    assert reserve(plan) == (48, "assumed")


def test_a_model_that_is_there_is_not_loaded_whatever_it_was_loaded_as_and_no_other_counts_as_it(
    machine: Machine, planned: Planned, tiny_sd: Path
) -> None:
    task, worker = make_task(tiny_sd), machine.tenants[0]
    worker.base_mib = 400

    def loads() -> bool:
        return image.LOADING in [term.name for term in planned(task).system_terms]

    assert loads()
    digest, preset = task.model.digest, task.recipe.preset
    # On a GPU, this is what `auto` means for it.
    worker.hold(Held(digest, "of another name", "float16"), 10)
    assert not loads()
    for other in (Held("another", preset, "float16"), Held(digest, preset, "float32")):
        worker.hold(other, 10)
        assert loads(), other
