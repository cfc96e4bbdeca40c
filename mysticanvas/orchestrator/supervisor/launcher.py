"""How a worker process comes to be: a one-function seam."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mysticanvas import processes
from mysticanvas.orchestrator.supervisor import ending
from mysticanvas.plugins.hookspecs import Launcher

_TAIL_BYTES = 4096


class Launch(NamedTuple):
    """How to start a worker of one kind."""

    kind: str
    arguments: list[str]
    environment: dict[str, str]
    log: Path
    module: str = "mysticanvas.workers"
    spawn: Launcher = processes.spawn
    """Starts it: here, or wherever a plug-in does."""


class Started(NamedTuple):
    """A process that was started, and how to talk to it."""

    spawned: processes.Spawned
    token: str
    log: Path
    log_start: int
    """Where in the log what it writes begins."""

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self.spawned.process

    def last_lines(self) -> tuple[str, ...]:
        """What it wrote last."""
        try:
            with self.log.open("rb") as log:
                size = log.seek(0, 2)
                log.seek(max(self.log_start, size - _TAIL_BYTES))
                return ending.last_lines(log.read(_TAIL_BYTES))
        except OSError:
            return ()


Starter = Callable[[Launch], Started]
"""Starts a process; called on one long-lived thread, on which the child's life depends.

Raises OSError if there can be none."""


def start(launch: Launch) -> Started:
    """A new process."""
    token = secrets.token_urlsafe(32)
    log_start = launch.log.stat().st_size if launch.log.exists() else 0
    spawned = launch.spawn(
        launch.module,
        launch.arguments,
        environment=launch.environment,
        log=launch.log,
        secret=token.encode(),
    )
    return Started(spawned, token, launch.log, log_start)
