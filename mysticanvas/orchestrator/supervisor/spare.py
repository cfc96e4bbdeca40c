"""A process in reserve: a launcher that has one ready, its engine imported.

Importing torch and diffusers takes seconds, which a job whose worker was lost would wait for. The
spare holds no model and has not touched the device.
"""

from __future__ import annotations

from mysticanvas import logs
from mysticanvas.orchestrator.supervisor import launcher
from mysticanvas.orchestrator.supervisor.launcher import Launch, Started, Starter

_log = logs.get(__name__)
_MAX_LOST = 3
"""Spares that ended by themselves, after which there are no more."""


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
        """The process in reserve."""
        return None if self._held is None else self._held.process.pid

    def launch(self, launch: Launch) -> Started:
        """The process in reserve, or a new one."""
        held = self._alive()
        self._held = None
        return held or self._start(launch)

    def prepare(self, launch: Launch) -> None:
        """Have a process in reserve; harmless if there is one."""
        if self._alive() is None and self._lost < _MAX_LOST:
            try:
                self._held = self._start(launch)
                _log.info("spare_started", kind=launch.kind, pid=self.pid)
            except OSError as error:
                self._lost += 1
                _log.warning("spare_failed", kind=launch.kind, reason=str(error))

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
