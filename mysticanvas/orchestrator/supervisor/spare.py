"""A process in reserve: a launcher that has one ready, its engine imported.

Importing torch and diffusers takes seconds, which a job whose worker was lost would wait for. The
spare holds no model and has not touched the device.
"""

from __future__ import annotations

from mysticanvas import logs
from mysticanvas.contracts.health import WorkerState
from mysticanvas.errors import MystiCanvasError
from mysticanvas.orchestrator.supervisor import launcher
from mysticanvas.orchestrator.supervisor.client import WorkerLost
from mysticanvas.orchestrator.supervisor.launcher import Launch, Started, Starter

_log = logs.get(__name__)
_MAX_LOST = 3
"""Spares that ended by themselves, after which there are no more."""
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

    @property
    def pid(self) -> int | None:
        """The process in reserve; can be asked on any thread."""
        held = self._held
        return None if held is None else held.process.pid

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
        if self._alive() is not None or self._lost >= _MAX_LOST:
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
