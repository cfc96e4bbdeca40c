"""How a worker process comes to be: a one-function seam."""

from __future__ import annotations

import secrets
import select
import subprocess
from collections.abc import Callable, Mapping
from typing import NamedTuple

from mysticanvas import logs, processes, terminal
from mysticanvas.contracts.memory import DeviceKind
from mysticanvas.logs.capture import Capture, marked
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator.supervisor.client import WorkerClient
from mysticanvas.plugins.hookspecs import Launcher

_log = logs.get(__name__)


class Launch(NamedTuple):
    """How to start a worker of one kind."""

    kind: str
    arguments: list[str]
    environment: dict[str, str]
    log: LogFile
    """Takes what the process puts out, its own log lines among it."""
    module: str = "mysticanvas.workers"
    spawn: Launcher = processes.spawn
    """Starts it: here, or wherever a plug-in does."""
    device_kind: DeviceKind | None = None
    """What it is told to compute on; None if that is left to it."""
    earlier: DeviceKind | None = None
    """What the last process of an orchestrator before computed on, if that was left to it."""

    def after(self, before: DeviceKind | None) -> Launch:
        """It for a process that is to compute on what the one before did, if that said so and had
        found something better than the CPU; the first one follows one of an earlier orchestrator.
        """
        before = before or self.earlier
        if self.device_kind is not None or before in (None, "cpu"):
            return self
        return self._replace(arguments=[*self.arguments, "--before", str(before)])


class Started(NamedTuple):
    """A process that was started, and how to talk to it."""

    spawned: processes.Spawned
    token: str
    capture: Capture
    report: Mapping[str, object] | None = None
    """What it has said of where it listens, if that was read before."""

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self.spawned.process

    @property
    def stood_for(self) -> bool:
        """Whether it is another process that only stands for the worker, as a launcher's may, by
        what the worker has reported: only the worker itself knows what memory it has then."""
        pid = self.process.pid
        return self.report is not None and self.report.get("pid", pid) != pid

    def client(self) -> WorkerClient | None:
        """How to talk to it, once it listens; None if it ends before."""
        report = self.reported().report
        if report is None or "url" not in report:
            return None
        return WorkerClient(str(report["url"]), self.token)

    def reported(self) -> Started:
        """It with what it reports, once it listens or has ended."""
        if self.report is not None:
            return self
        return self._replace(report=self.spawned.read_ready() or {})

    def as_it_is(self) -> Started:
        """It with what it has reported by now, without waiting for that."""
        waiting = select.poll()
        if self.report is None:
            waiting.register(self.spawned.ready, select.POLLIN)
        return self.reported() if waiting.poll(0) else self

    def last_lines(self) -> tuple[str, ...]:
        """What it and its libraries wrote last, once it has ended."""
        return terminal.last_lines(self.capture.finish())


Starter = Callable[[Launch], Started]
"""Starts a process; called on one long-lived thread, on which the child's life depends.

Raises OSError if there can be none."""


def start(launch: Launch) -> Started:
    """A new process.

    Raises:
        OSError: there can be none.
    """
    token = secrets.token_urlsafe(32)
    environment, mark = marked(launch.environment)
    spawned = _spawned(launch._replace(environment=environment), token)
    name = f"worker-{launch.kind}"
    try:
        if spawned.output is None:
            raise OSError("its launcher gives no output that could be read")
        capture = Capture(spawned.output, launch.log, name, spawned.process.pid, mark)
    # A RuntimeError where the system gives no more threads.
    except (OSError, RuntimeError) as error:
        spawned.kill()
        if spawned.output is not None:
            spawned.output.close()
        raise OSError(str(error)) from error
    return Started(spawned, token, capture)


def _spawned(launch: Launch, token: str) -> processes.Spawned:
    try:
        spawned: object = launch.spawn(
            launch.module,
            launch.arguments,
            environment=launch.environment,
            secret=token.encode(),
        )
    except OSError:
        raise
    # A launcher may be somebody else's, and raise anything, even what would end this thread.
    except BaseException as error:
        _log.exception("launcher_failed", kind=launch.kind)
        raise OSError(f"its launcher raised {type(error).__name__}: {error}") from error
    if not isinstance(spawned, processes.Spawned):
        _end(spawned)
        raise OSError(f"its launcher gives a {type(spawned).__name__}, and not a Spawned")
    return spawned


def _end(given: object) -> None:
    """End the process that a launcher gives in another form."""
    if isinstance(given, subprocess.Popen):
        given.kill()
        given.wait()
