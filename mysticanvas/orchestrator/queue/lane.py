"""A thread that runs jobs of some kinds, one at a time."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Generic, TypeVar, cast

from mysticanvas import logs
from mysticanvas.contracts.problem import Problem
from mysticanvas.errors import MystiCanvasError
from mysticanvas.orchestrator.queue.run import Run
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.store import StoredJob

R = TypeVar("R", bound=Run)

_log = logs.get(__name__)
_LONGEST_WAIT_S = 60.0
_AFTER_ERROR_S = 1.0


class Lane(ABC, Generic[R]):
    """Claims, carries out, and waits for more.

    Args:
        name: of the thread.
        kinds: what it carries out.
        transitions: where jobs come from and go to.
    """

    def __init__(self, name: str, kinds: Collection[str], transitions: Transitions) -> None:
        self._kinds = kinds
        self._transitions = transitions
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)

    @abstractmethod
    def begin(self, job: StoredJob) -> R:
        """The run of a job that was claimed; must not block."""

    @abstractmethod
    def execute(self, run: R) -> None:
        """Carry a run out, and see to it that its job leaves `running`.

        Raises:
            Exception: what the job failed of, and is to be ended with.
        """

    @property
    def loaded(self) -> str | None:
        """Digest of a model that is loaded, whose jobs may go first; None without one."""
        return None

    def between_jobs(self) -> None:
        """Called whenever the lane has looked for work, found or not."""

    def needed_s(self) -> float | None:
        """Seconds until `between_jobs` has something to do, 0 for now; None if nothing."""
        return None

    def start(self) -> None:
        """Begin, on a thread of its own."""
        self._thread.start()

    def wake(self) -> None:
        """Have it look again what there is to do."""
        with self._transitions.changed:
            self._transitions.changed.notify_all()

    def ask_to_end(self) -> None:
        """Begin no job any more, and have one that runs go back to the queue for the next start; do
        not wait for it."""
        self._stopping.set()
        self._transitions.stop_all(self._kinds)

    def stop(self) -> None:
        """End; returns when no job runs."""
        self.ask_to_end()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        while not self._stopping.is_set():
            try:
                self._turn()
            # Whatever is met once, want of disk space say, must not end the queue.
            except Exception:  # noqa: BLE001
                _log.exception("queue_error")
                self._stopping.wait(_AFTER_ERROR_S)
        # What was handed over at the last moment goes back to the queue.
        handed = self._transitions.handed(self._kinds)
        if handed is not None:
            self._run(cast("R", handed))

    def _turn(self) -> None:
        """Carry out the next job, or wait for one."""
        self.between_jobs()
        run = self._transitions.claim(self._kinds, self.begin, self.loaded)
        if run is None:
            self._wait()
        else:
            self._run(run)

    def _run(self, run: R) -> None:
        record = run.job.record
        with logs.bind(request_id=record.request_id, job_id=record.id):
            _log.info("job_started", kind=record.kind, attempt=record.attempts)
            if self._stopping.is_set():
                self._transitions.stop_all(self._kinds)
            try:
                self.execute(run)
            # Whatever a job meets, it ends as that job's failure: the queue goes on.
            except Exception as error:  # noqa: BLE001
                if not isinstance(error, MystiCanvasError):
                    _log.exception("run_failed")
                self._transitions.fail(run, Problem.of(error, record.request_id))
            finally:
                self._transitions.abandon(run)

    def _wait(self) -> None:
        with self._transitions.changed:
            if self._work_s() == 0.0 or self._stopping.is_set():
                return
            waits = (_LONGEST_WAIT_S, self._work_s(), self.needed_s())
            wait_s = min(wait for wait in waits if wait is not None)
            if wait_s > 0:
                self._transitions.wait(self._kinds, self.begin, wait_s)

    def _work_s(self) -> float | None:
        return self._transitions.due_s(self._kinds)
