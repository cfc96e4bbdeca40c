"""A queue on a real store, with jobs that need no worker; and arbiters in a hurry."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.jobs import JobRecord, JobStatus
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.arbiter import returning, turns
from mysticanvas.orchestrator.events import Bus
from mysticanvas.orchestrator.queue.run import Run
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.processes import Identity
from mysticanvas.store import Store, StoredJob


class RecordingBus(Bus):
    """Keeps what was published."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[tuple[str, dict[str, Any]]] = []

    def publish(self, kind: Any, data: dict[str, Any]) -> None:
        self.published.append((kind, data))
        super().publish(kind, data)

    def statuses(self, job_id: str) -> list[str]:
        """The states of a job, as listeners hear of them."""
        return [data["status"] for kind, data in self.published if data.get("id") == job_id]


AddJob = Callable[..., str]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(HomePaths.of(tmp_path / "home")) as opened:
        yield opened


@pytest.fixture
def bus() -> RecordingBus:
    return RecordingBus()


@pytest.fixture
def transitions(store: Store, bus: RecordingBus) -> Transitions:
    return Transitions(store, bus, Identity.of(os.getpid()))


@pytest.fixture
def add(transitions: Transitions) -> AddJob:
    """Queues a job and gives its id."""

    def add(kind: str = "backup", **members: Any) -> str:
        task, params = members.pop("task", None), members.pop("params", None)
        record = JobRecord.model_validate(
            {
                "id": new_id(),
                "kind": kind,
                "status": JobStatus.QUEUED,
                "project": "default",
                "priority": "background",
                "request_hash": "",
                "created_at": datetime.now(UTC),
                **members,
            }
        )
        return transitions.add(record, "{}", task, None, params)[0].id

    return add


@pytest.fixture
def hurried_arbiter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arbiters look often, and soon take memory for not coming back."""
    monkeypatch.setattr(returning, "MEMORY_BACK_S", 0.05)
    monkeypatch.setattr(returning, "TICK_S", 0.01)
    monkeypatch.setattr(turns, "LOOK_S", 0.02)


@pytest.fixture
def idle(transitions: Transitions, bus: RecordingBus) -> Iterator[Callable[..., threading.Thread]]:
    """Has a thread wait for jobs of some kinds, as a lane does; it is woken with the test."""
    threads: list[threading.Thread] = []

    def idle(
        kinds: Collection[str] = ("backup", "generate"),
        begin: Callable[[StoredJob], Run] = lambda job: Run(job, bus),
    ) -> threading.Thread:
        waits = threading.Event()

        def wait() -> None:
            with transitions.changed:
                waits.set()
                transitions.wait(kinds, begin, timeout_s=60)

        threads.append(threading.Thread(target=wait))
        threads[-1].start()
        waits.wait()
        return threads[-1]

    yield idle
    with transitions.changed:
        transitions.changed.notify_all()
    for thread in threads:
        thread.join()
