"""How a worker process comes to be: a one-function seam."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable
from typing import NamedTuple

from mysticanvas import logs, processes
from mysticanvas.contracts.memory import DeviceKind
from mysticanvas.logs.capture import Capture
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator.supervisor import ending
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


class Started(NamedTuple):
    """A process that was started, and how to talk to it."""

    spawned: processes.Spawned
    token: str
    capture: Capture

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self.spawned.process

    def last_lines(self) -> tuple[str, ...]:
        """What it and its libraries wrote last, once it has ended."""
        return ending.last_lines(self.capture.finish())


Starter = Callable[[Launch], Started]
"""Starts a process; called on one long-lived thread, on which the child's life depends.

Raises OSError if there can be none."""


def start(launch: Launch) -> Started:
    """A new process."""
    token = secrets.token_urlsafe(32)
    spawned = _spawned(launch, token)
    if spawned.output is None:
        spawned.kill()
        raise OSError("its launcher gives no output that could be read")
    name = f"worker-{launch.kind}"
    return Started(spawned, token, Capture(spawned.output, launch.log, name, spawned.process.pid))


def _spawned(launch: Launch, token: str) -> processes.Spawned:
    try:
        return launch.spawn(
            launch.module,
            launch.arguments,
            environment=launch.environment,
            secret=token.encode(),
        )
    except OSError:
        raise
    # A launcher may be somebody else's, and raise anything.
    except Exception as error:
        _log.exception("launcher_failed", kind=launch.kind)
        raise OSError(f"its launcher raised {type(error).__name__}: {error}") from error
