"""A process in reserve: a launcher that has one ready, its engine imported.

Importing torch and diffusers takes seconds, which a job whose worker was lost would wait for. The
spare holds no model and has not touched the device.
"""

from __future__ import annotations

import contextlib

from mysticanvas import logs, processes
from mysticanvas.contracts.health import Reserve, WorkerState
from mysticanvas.errors import MystiCanvasError
from mysticanvas.orchestrator.supervisor import launcher
from mysticanvas.orchestrator.supervisor.client import WorkerLost
from mysticanvas.orchestrator.supervisor.launcher import Launch, Started, Starter

_log = logs.get(__name__)
_MAX_LOST = 3
"""Spares that ended by themselves, after which there are no more."""
_LOOK_S = 0.25
_ANSWER_S = 3.0
"""One that imports may be silent for a second or two, and is nearer to its end than a new one."""


class Spare:
    """Starts processes, with one in reserve; everything is called on one long-lived thread.

    Args:
        start: starts a process.
    """

    def __init__(self, start: Starter = launcher.start) -> None:
        self._start = start
        self._held: Started | None = None
        self._lost = 0
        self._said_mib = 0.0
        """What it said of its memory, if another process stands for it."""

    @property
    def pid(self) -> int | None:
        """The process in reserve; can be asked on any thread."""
        held = self._held
        return None if held is None else held.process.pid

    @property
    def reserve(self) -> Reserve | None:
        """The same, and its memory."""
        held, said_mib = self._held, self._said_mib
        if held is None:
            return None
        pid = held.process.pid
        return Reserve(pid=pid, memory=said_mib if held.stood_for else processes.memory_mib(pid))

    def launch(self, launch: Launch) -> Started:
        """The process in reserve if it is well, or a new one."""
        held = self._alive()
        self._held = held and held.as_it_is()
        if self._held is not None and not _answers(self._held):
            _log.warning("spare_hangs", kind=launch.kind, pid=self.pid)
            self._end(self._held)
        held, self._held = self._held, None
        return held or self._start(launch)

    def prepare(self, launch: Launch) -> bool:
        """Have a process in reserve, unless there is one; whether one was started."""
        if (held := self._alive()) is not None:
            self._look(held)
            return False
        if self._lost >= _MAX_LOST:
            return False
        try:
            self._held = self._start(launch)
        except OSError as error:
            self._lost += 1
            _log.warning("spare_failed", kind=launch.kind, reason=str(error))
            return False
        _log.info("spare_started", kind=launch.kind, pid=self.pid)
        return True

    def close(self) -> None:
        """End the process in reserve."""
        if self._held is not None:
            self._end(self._held)

    def _look(self, held: Started) -> None:
        self._held = held = held.as_it_is()
        client = held.client() if held.stood_for else None
        if client is not None:
            with contextlib.suppress(WorkerLost, MystiCanvasError):
                self._said_mib = client.health(_LOOK_S).memory_mib

    def _alive(self) -> Started | None:
        held = self._held
        if held is None or held.process.poll() is None:
            return held
        self._lost += 1
        self._end(held)
        return None

    def _end(self, held: Started) -> None:
        self._held = None
        held.spawned.kill()


def _answers(held: Started) -> bool:
    """Whether a process in reserve can be relied on. Once it is given out, it would be taken to
    import its engine, and hang for as long as that may take."""
    if held.report is None:
        # It has only just been started, and whoever gets it waits for it like for any other.
        return True
    client = held.client()
    try:
        return client is not None and client.health(_ANSWER_S).state is not WorkerState.FAILED
    except (WorkerLost, MystiCanvasError):
        return False
