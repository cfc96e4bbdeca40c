"""One worker process and its life. A single thread owns the process; all others ask."""

from __future__ import annotations

import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mysticanvas import logs, processes
from mysticanvas.contracts.health import WorkerState, WorkerStatus
from mysticanvas.orchestrator.supervisor import backoff
from mysticanvas.orchestrator.supervisor.client import WorkerClient, WorkerLost

_log = logs.get(__name__)
_POLL_S = 0.02


class Launch(NamedTuple):
    """How to start a worker of one kind."""

    kind: str
    arguments: list[str]
    environment: dict[str, str]
    log: Path
    module: str = "mysticanvas.workers"
    """What is run: a program that takes the arguments of that one."""


class Worker:
    """Keeps one process of a kind running until `stop`.

    Args:
        launch: how to start it.
        report: called with the new status on every change, on any thread; must not block.
        stop_timeout_s: seconds between the request to end and the kill.
    """

    def __init__(
        self, launch: Launch, report: Callable[[WorkerStatus], None], stop_timeout_s: float
    ) -> None:
        self._launch = launch
        self._report = report
        self._stop_timeout_s = stop_timeout_s
        self._changed = threading.Condition()
        self._state = WorkerState.STOPPED
        self._process: subprocess.Popen[bytes] | None = None
        self._client: WorkerClient | None = None
        self._model: str | None = None
        self._restarts = 0
        self._last_error = ""
        self._stopping = threading.Event()
        # Never ends before the orchestrator does: the death signal of the child hangs on it.
        self._thread = threading.Thread(target=self._run, name=f"worker-{launch.kind}", daemon=True)

    @property
    def status(self) -> WorkerStatus:
        with self._changed:
            return WorkerStatus(
                kind=self._launch.kind,
                pid=self._process.pid if self._process else None,
                state=self._state,
                restarts=self._restarts,
                model=self._model,
                last_error=self._last_error,
            )

    def start(self) -> None:
        """Start the process, in the background."""
        self._thread.start()

    def client(self, timeout_s: float) -> WorkerClient:
        """A connection to the process once it answers.

        Raises:
            WorkerLost: it did not answer in time, or is being stopped.
        """
        with self._changed:
            if (
                self._changed.wait_for(
                    lambda: self._client is not None or self._stopping.is_set(), timeout_s
                )
                and not self._stopping.is_set()
            ):
                assert self._client is not None
                return self._client
        raise WorkerLost(f"the {self._launch.kind} worker does not start: {self._last_error}")

    def ending(self, client: WorkerClient, timeout_s: float) -> str | None:
        """How the process ended that this client talked to; None if it has not in time."""
        with self._changed:
            ended = self._changed.wait_for(lambda: self._client is not client, timeout_s)
            return self._last_error if ended else None

    def busy(self, model: str | None) -> None:
        """Note that a job with this model runs on it."""
        self._set(WorkerState.BUSY, model=model)

    def free(self, model: str | None) -> None:
        """Note that nothing runs on it, and which model it holds."""
        self._set(WorkerState.READY, model=model)

    def settle(self, client: WorkerClient) -> None:
        """Wait until a cancelled batch has really ended; a process that hangs on is killed.

        Raises:
            WorkerLost: the process is gone.
        """
        deadline = time.monotonic() + self._stop_timeout_s
        while client.health().state is WorkerState.BUSY:
            if time.monotonic() > deadline:
                self._kill("did not stop a cancelled job in time")
                raise WorkerLost("killed")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """End the process and return when it is gone."""
        self._stopping.set()
        with self._changed:
            process = self._process
            self._changed.notify_all()
        if process is not None:
            processes.kill_group(process.pid, signal.SIGTERM)
            try:
                process.wait(self._stop_timeout_s)
            except subprocess.TimeoutExpired:
                processes.kill_group(process.pid, signal.SIGKILL)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            reason = self._live_once()
            if self._stopping.is_set():
                break
            failures = backoff.failures_in_a_row(failures, time.monotonic() - began)
            _log.warning("worker_ended", kind=self._launch.kind, reason=reason)
            with self._changed:
                self._restarts += 1
                self._last_error = reason
            self._set(WorkerState.FAILED, model=None)
            self._stopping.wait(backoff.delay_s(failures))
        self._set(WorkerState.STOPPED, model=None)

    def _live_once(self) -> str:
        """Start the process and wait for its end; how it ended."""
        token = secrets.token_urlsafe(32)
        try:
            spawned = processes.spawn(
                self._launch.module,
                self._launch.arguments,
                environment=self._launch.environment,
                log=self._launch.log,
                secret=token.encode(),
            )
        except OSError as error:
            return f"could not be started: {error}"
        with self._changed:
            self._process = spawned.process
        self._set(WorkerState.STARTING, model=None)
        if self._stopping.is_set():
            # `stop` may have looked before the process was noted.
            processes.kill_group(spawned.process.pid, signal.SIGTERM)
        ready = spawned.read_ready()
        if ready is not None:
            with self._changed:
                self._client = WorkerClient(str(ready["url"]), token)
            self._set(WorkerState.READY, model=None)
        code = spawned.process.wait()
        # What the worker itself has started ends with it.
        processes.kill_group(spawned.process.pid, signal.SIGKILL)
        if spawned.process.stdin is not None:
            spawned.process.stdin.close()
        reason = _how_it_ended(code)
        with self._changed:
            client, self._client, self._process = self._client, None, None
            self._last_error = reason
            self._changed.notify_all()
        if client is not None:
            client.close()
        return reason

    def _kill(self, reason: str) -> None:
        with self._changed:
            process = self._process
        if process is not None:
            _log.warning("worker_killed", kind=self._launch.kind, reason=reason)
            processes.kill_group(process.pid, signal.SIGKILL)

    def _set(self, state: WorkerState, model: str | None) -> None:
        with self._changed:
            changed = (state, model) != (self._state, self._model)
            self._state, self._model = state, model
            self._changed.notify_all()
        if changed:
            self._report(self.status)


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
