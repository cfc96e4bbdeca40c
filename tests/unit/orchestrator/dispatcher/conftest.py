"""A dispatcher with a real worker process, which dies where a prompt says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mortal_worker
import pytest
from dispatching import WAIT_S, Submit
from tasks import as_it_comes, make_task

from mysticanvas.contracts.jobs import JobRecord, JobStatus
from mysticanvas.contracts.vram import Unloaded
from mysticanvas.environment import child_environment
from mysticanvas.home import HomePaths
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator.arbiter.feedback import Feedback
from mysticanvas.orchestrator.arbiter.profiles import Profiles
from mysticanvas.orchestrator.queue.dispatcher import Dispatcher
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.orchestrator.supervisor import breaker
from mysticanvas.orchestrator.supervisor.launcher import Launch
from mysticanvas.orchestrator.supervisor.worker import Listener, Worker
from mysticanvas.store import Store

TESTS = Path(mortal_worker.__file__).parent


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
        environment=child_environment({"PYTHONPATH": str(TESTS)}),
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
