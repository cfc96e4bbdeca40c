"""A planner before a job on CUDA, with the image engine that it asks; what only a GPU could tell is
given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from tasks import make_task

from benchmarks.tenants import Machine, Tenant
from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.tracing import ProfileOrder, TraceAnswer
from mysticanvas.contracts.worker import GenerateTask
from mysticanvas.errors import ModelFileError
from mysticanvas.orchestrator.arbiter.arbiter import Arbiter
from mysticanvas.orchestrator.arbiter.feedback import Feedback
from mysticanvas.orchestrator.arbiter.planner import Planner
from mysticanvas.orchestrator.arbiter.profiles import Profiles
from mysticanvas.settings import Settings
from mysticanvas.store import Store
from mysticanvas.workers.engine import Options
from mysticanvas.workers.image import devices
from mysticanvas.workers.image.engine import ImageEngine

Planned = Callable[[GenerateTask], Plan]


class Client:
    """Asks an engine in this process."""

    def __init__(self, engine: ImageEngine) -> None:
        self._engine = engine
        self.orders: list[ProfileOrder] = []
        self.tells_reserves = True

    def profile(self, order: ProfileOrder) -> TraceAnswer:
        self.orders.append(order)
        if order.works and not self.tells_reserves:
            raise ModelFileError("It cannot be told.")
        return self._engine.profile(order)


class Leased(NamedTuple):
    """The process of a tenant, which is there already."""

    client: Client

    def look(self) -> None:
        """There is no device to look at."""


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    engine = ImageEngine(Options(images=tmp_path, device="cpu", threads=1))
    monkeypatch.setattr(engine, "_device", torch.device("cuda"))
    monkeypatch.setattr(devices, "copies_input", lambda _: True)
    monkeypatch.setattr(devices, "workspace", lambda _: devices._workspace_of(9))
    return Client(engine)


@pytest.fixture
def planned(client: Client, store: Store, bus: Any) -> Planned:
    worker: Any = Tenant("image")
    machine = Machine(20_000, worker)
    profiles = Profiles()
    planner = Planner(
        presets=None,  # type: ignore[arg-type]  # of requests, not of jobs
        profiles=profiles,
        feedback=Feedback(store.measurements, profiles, bus, lambda _: None),
        arbiter=Arbiter([worker], machine.memory),
        worker=worker,
        # Only the worker knows, and its status does not tell.
        settings=Settings(device="auto", threads=1),
    )

    def plan(task: GenerateTask) -> Plan:
        lease: Any = Leased(client)
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
    assert planned(task) == first
    assert len(client.orders) == count


def test_an_engine_that_cannot_tell_leaves_an_assumed_one(
    client: Client, planned: Planned, tiny_sd: Path
) -> None:
    client.tells_reserves = False
    assert reserve(planned(make_task(tiny_sd))) == (48, "assumed")
