"""A store, a queue and a worker in this process: an orchestrator without its HTTP."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tasks import as_it_comes, make_task

from mysticanvas import processes
from mysticanvas.contracts.alerts import Alert
from mysticanvas.contracts.health import WorkerState, WorkerStatus
from mysticanvas.contracts.jobs import JobRecord, JobStatus
from mysticanvas.contracts.vram import Unloaded
from mysticanvas.environment import child_environment
from mysticanvas.home import HomePaths
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator import latents
from mysticanvas.orchestrator.arbiter.feedback import Feedback
from mysticanvas.orchestrator.arbiter.profiles import Profiles
from mysticanvas.orchestrator.events import Bus
from mysticanvas.orchestrator.queue.dispatcher import Dispatcher
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.orchestrator.supervisor import deadlines
from mysticanvas.orchestrator.supervisor.deadlines import Deadlines
from mysticanvas.orchestrator.supervisor.launcher import Launch
from mysticanvas.orchestrator.supervisor.seams import REAL, Seams
from mysticanvas.orchestrator.supervisor.worker import Listener, Worker
from mysticanvas.store import Store

WAIT_S = 120.0
TESTS = Path(__file__).parent


class House:
    """Runs `problem_worker`, or another one; a context manager that ends what it started.

    Args:
        root: its home.
        worker_module: that the worker process runs.
        model: folder of the model that jobs are asked for with.
        limits: when the worker is taken to hang.
        environment: of the worker.
    """

    def __init__(
        self,
        root: Path,
        limits: Deadlines = deadlines.USUAL,
        seams: Seams = REAL,
        *,
        worker_module: str = "problem_worker",
        model: Path = Path("sd"),
        **environment: str,
    ) -> None:
        self._module, self._model = worker_module, model
        self.paths = HomePaths.of(root)
        self.alerts: list[Alert] = []
        self.statuses: list[WorkerStatus] = []
        self.unloaded: list[Unloaded] = []
        self._heard = threading.Condition()
        self.store = Store.open(self.paths)
        self.bus = Bus()
        me = processes.Identity.of(os.getpid())
        self.transitions = Transitions(self.store, self.bus, me)
        listener = Listener(
            lambda status: self._hear(self.statuses, status),
            lambda alert: self._hear(self.alerts, alert),
        )
        self.worker = Worker(self._launch(environment), listener, 5.0, limits, seams)
        self.feedback = Feedback(
            self.store.measurements,
            Profiles(self.store.profiles),
            self.bus,
            lambda alert: self._hear(self.alerts, alert),
        )
        self.dispatcher = Dispatcher(
            self.transitions,
            self.store,
            self.bus,
            self.worker,
            admit=as_it_comes,
            feedback=self.feedback,
            keep_alive_s=900,
            settle_s=5.0,
            folder=self.paths.run,
            unloaded=self.unloaded.append,
        )

    def _launch(self, environment: dict[str, str]) -> Launch:
        arguments = ["--engine", "image", "--images", str(self.paths.images), "--threads", "1"]
        arguments += ["--latents", str(latents.folder(self.paths.run))]
        counted = {"PROBLEM_COUNT": str(self.paths.run / "problems"), "PYTHONPATH": str(TESTS)}
        return Launch(
            kind="image",
            arguments=[*arguments, "--parent-pid", str(os.getpid())],
            environment=child_environment({**counted, **environment}),
            log=LogFile(self.paths.logs / "worker.jsonl"),
            module=self._module,
        )

    def __enter__(self) -> Self:
        self.worker.start()
        self.dispatcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.dispatcher.stop()
        self.worker.stop()
        self.store.close()

    def submit(
        self,
        prompt: str = "",
        priority: str = "interactive",
        allowed: str = "auto",
        **params: int,
    ) -> str:
        """Queue a job, with parameters that differ from the usual; its id."""
        task = make_task(self._model, task={"allowed": allowed}, prompt=prompt, **params)
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
        return self.transitions.add(record, "{}", task, None)[0].id

    def reached(self, job: str, status: str) -> JobRecord:
        """Wait until a job is in that state."""

        def there() -> bool:
            now = self.store.jobs.get(job).record.status
            return now == status or now.final

        with self.transitions.changed:
            self.transitions.changed.wait_for(there, WAIT_S)
        record = self.store.jobs.get(job).record
        assert record.status == status, record
        return record

    def done(self, prompt: str = "", allowed: str = "auto") -> JobRecord:
        """Queue a job and wait until it has succeeded."""
        return self.reached(self.submit(prompt, allowed=allowed), "succeeded")

    def until(self, met: Callable[[WorkerStatus], object]) -> WorkerStatus:
        """Wait until the worker is so."""
        deadline = time.monotonic() + WAIT_S
        with self._heard:
            # Now and then without news, too: not all that can be asked for is told.
            while not met(self.worker.status):
                assert time.monotonic() < deadline, self.worker.status
                self._heard.wait(0.05)
        return self.worker.status

    def in_state(self, state: WorkerState) -> int:
        """Wait until the worker is in a state and has a process; its pid."""
        status = self.until(lambda status: status.state is state and status.pid is not None)
        assert status.pid is not None
        return status.pid

    def at_stage(self, job: str, stage: str) -> int:
        """Wait until a job is at a stage on a worker; the worker's pid."""
        with self.transitions.changed:
            assert self.transitions.changed.wait_for(
                lambda: any(run.id == job for run in self.transitions.runs()), WAIT_S
            )
        (run,) = self.transitions.runs()
        with self._heard:
            # Progress is told to the bus, which nobody here listens to: it is looked at.
            while run.progress.stage != stage:
                self._heard.wait(0.02)
        return self.in_state(WorkerState.BUSY)

    def rows(self) -> int:
        """How many pictures there are."""
        (row,) = self.store.database.read("SELECT count(*) AS n FROM images")
        return int(row["n"])

    def _hear(self, where: list[Any], what: Any) -> None:
        with self._heard:
            where.append(what)
            self._heard.notify_all()
