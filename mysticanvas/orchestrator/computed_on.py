"""What workers compute on where that is left to them, kept for the orchestrators that follow.

A home may be shared by machines, of which some have a GPU; so what is kept holds for the one that
it was seen on.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import get_args

from pydantic import JsonValue

from mysticanvas.contracts.memory import DeviceKind
from mysticanvas.orchestrator.periodic import Periodic
from mysticanvas.orchestrator.supervisor.watch import BEAT_S
from mysticanvas.orchestrator.supervisor.worker import Worker
from mysticanvas.settings import Settings
from mysticanvas.store.facts import Facts


class ComputedOn(Periodic):
    """Keeps it as it changes, on a thread of its own: those of workers must not wait for a store.

    A device that is set has what was kept forgotten: it says what is to be from now on.
    """

    def __init__(self, facts: Facts, workers: Sequence[Worker], settings: Settings) -> None:
        super().__init__("computed-on", BEAT_S)
        self._facts = facts
        self._workers = workers
        self._is_set = settings.device != "auto"

    def start(self) -> None:
        if not self._is_set:
            super().start()
            return
        for worker in self._workers:
            if self.before(worker.kind) is not None:
                self._facts.set(_name(worker.kind), None)

    def before(self, kind: str) -> DeviceKind | None:
        """What the worker of that kind computed on last on this machine; None if it never said so,
        or a device was set since."""
        kept = self._facts.get(_name(kind))
        return next((known for known in get_args(DeviceKind) if kept == _here(known)), None)

    def look(self) -> None:
        for worker in self._workers:
            now = worker.status.device_kind
            # That a CPU comes first is nothing that anybody has to know.
            if now is not None and now != (self.before(worker.kind) or "cpu"):
                self._facts.set(_name(worker.kind), _here(now))


def _name(kind: str) -> str:
    return f"device.{kind}"


def _here(device: DeviceKind) -> JsonValue:
    return {"device": device, "machine": platform.node()}
