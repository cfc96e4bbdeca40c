"""What those who listen to a worker, or wait for one, are told."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from house import TESTS, WAIT_S, House

from mysticanvas import processes
from mysticanvas.contracts.health import WorkerState
from mysticanvas.environment import child_environment
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator.supervisor import messages, staff, worker as module
from mysticanvas.orchestrator.supervisor.client import Unreached
from mysticanvas.orchestrator.supervisor.launcher import Launch
from mysticanvas.orchestrator.supervisor.seams import Seams
from mysticanvas.orchestrator.supervisor.worker import Listener, Worker
from mysticanvas.settings import Settings


@pytest.fixture
def make_worker(tmp_path: Path) -> Callable[..., Worker]:
    """A worker that is not started yet: one of the standard library, which is there at once."""

    def make_worker(spawn: Any = processes.spawn, stop_timeout_s: float = 5.0) -> Worker:
        launch = Launch(
            kind="rude",
            arguments=["--parent-pid", str(os.getpid())],
            environment=child_environment({"PYTHONPATH": str(TESTS), "RUDE_ANSWERS": "{}"}),
            log=LogFile(tmp_path / "worker.jsonl"),
            module="rude_worker",
            spawn=spawn,
        )
        seams = Seams(free_mib=lambda: 9000.0)
        return Worker(launch, Listener(lambda _: None, lambda _: None), stop_timeout_s, seams=seams)

    return make_worker


def test_it_is_told_when_the_imports_are_over(tmp_path: Path) -> None:
    with House(tmp_path / "home") as house:
        house.until(lambda status: status.state is WorkerState.READY and not status.importing)
        house.until(lambda _: bool(house.statuses) and not house.statuses[-1].importing)
        told = [(status.state.value, status.importing) for status in house.statuses]
    # A process that has said nothing yet counts as one that imports.
    assert told[-2:] == [("ready", True), ("ready", False)]


def test_who_waits_for_a_process_that_is_retired_meanwhile_gets_the_next(
    make_worker: Callable[..., Worker],
) -> None:
    spawned: list[processes.Spawned] = []

    def spawn(*given: Any, **more: Any) -> processes.Spawned:
        if not spawned:
            # Who waits has said so, and this comes before anything is heard of the process.
            worker.tell(messages.Retire("was ended to make room"))
        spawned.append(processes.spawn(*given, **more))
        return spawned[-1]

    worker = make_worker(spawn)
    worker.start(on_demand=True)
    try:
        worker.lease(WAIT_S)
        assert worker.status.pid == spawned[1].process.pid
    finally:
        worker.stop()


def test_nobody_waits_for_news_of_a_worker_that_has_ended(
    make_worker: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GONE_S", 2 * WAIT_S)
    worker = make_worker()
    worker.start()
    lease = worker.lease(WAIT_S)
    worker.stop()
    waiting = threading.Thread(target=lease.released, daemon=True)
    waiting.start()
    waiting.join(WAIT_S)
    assert not waiting.is_alive()


@pytest.mark.fault("a launcher that never comes back", "the orchestrator ends all the same")
def test_a_launcher_that_blocks_does_not_keep_the_stop(
    make_worker: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, enough = threading.Event(), threading.Event()

    def spawn(*_: Any, **__: Any) -> processes.Spawned:
        begun.set()
        enough.wait()
        raise OSError("no node")

    monkeypatch.setattr(module, "GONE_S", 0.1)
    worker = make_worker(spawn, stop_timeout_s=0.1)
    worker.start()
    assert begun.wait(WAIT_S)
    stopping = threading.Thread(target=worker.stop, daemon=True)
    stopping.start()
    stopping.join(WAIT_S)
    try:
        assert not stopping.is_alive()
    finally:
        enough.set()


@pytest.mark.fault("a launcher that never comes back, and a stop", "who waits is told at once")
def test_nobody_waits_for_a_launcher_that_blocks_once_it_is_asked_to_end(
    make_worker: Callable[..., Worker],
) -> None:
    begun, enough = threading.Event(), threading.Event()

    def spawn(*_: Any, **__: Any) -> processes.Spawned:
        begun.set()
        enough.wait()
        raise OSError("no node")

    worker = make_worker(spawn)
    worker.start()
    assert begun.wait(WAIT_S)
    worker.ask_to_end()
    try:
        with pytest.raises(Unreached):
            worker.lease(10_000.0)
    finally:
        enough.set()
        worker.stop()


def test_workers_have_one_deadline_for_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([100.0, 101.0, 108.0, 200.0])
    monkeypatch.setattr(staff, "time", SimpleNamespace(monotonic=lambda: next(now)))
    given: list[float] = []
    one: Any = SimpleNamespace(stop=given.append)
    staff.stop([one, one, one], staff.deadline(10.0))
    assert given == [9.0 + staff.REAPED_S, 2.0 + staff.REAPED_S, 0.0]
    settings = Settings.load({}, stop_timeout_s=10.0)
    assert settings.stop_timeout_s + staff.REAPED_S < settings.end_timeout_s
