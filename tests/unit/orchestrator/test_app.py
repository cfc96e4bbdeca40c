"""The composition root: how it ends."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tasks import make_task

from mysticanvas.contracts.jobs import JobStatus
from mysticanvas.orchestrator.app import Orchestrator
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.orchestrator.supervisor.client import WorkerLost
from mysticanvas.settings import HomePaths, Settings
from mysticanvas.store import Store

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
