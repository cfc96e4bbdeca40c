"""A device of so many MiB with workers on it that are only numbers, for what makes room there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from mysticanvas.contracts.health import WorkerState, WorkerStatus
from mysticanvas.contracts.memory import DeviceKind, MemoryPart
from mysticanvas.contracts.vram import DeviceMemory, VramStatus
from mysticanvas.orchestrator.arbiter import registry
from mysticanvas.orchestrator.supervisor.client import WorkerLost
from mysticanvas.orchestrator.supervisor.messages import Held
from mysticanvas.vram import llm

BUDGET = "memory budget"


@dataclass
class Tenant:
    """A worker that takes what it is told to take; implements `arbiter.Tenant`."""

    kind: str
    base_mib: float = 0.0
    """Of its process without a model."""
    model_mib: float = 0.0
    context_mib: float = 0.0
    preset: str | None = None
    model: Held | None = None
    """What it holds, where that is not told by its preset."""
    deaf: bool = False
    """Whether it cannot be asked to drop its context."""
    is_running: bool = False
    imported_mib: float | None = None
    """What it has so far while its engine is being imported; None once that is there."""
    device_kind: DeviceKind | None = None
    """What it has said that it computes on."""
    is_dead: bool = False
    """Whether its process has ended, which nobody has noticed yet."""
    done: list[str] = field(default_factory=list)
    """What was done to it."""

    def take(self, preset: str, model_mib: float, context_mib: float = 0.0) -> None:
        """Hold a model."""
        self.is_running = True
        self.preset, self.model_mib, self.context_mib = preset, model_mib, context_mib
        self.model = None

    @property
    def status(self) -> WorkerStatus:
        parts = [
            MemoryPart(name=name, mib=mib, known="measured", device="CPU")
            for name, mib in ((self._weights, self.model_mib), (llm.CACHE, self.context_mib))
            if mib
        ]
        is_importing = self.imported_mib is not None
        has = 0.0 if self.is_dead else self.base_mib + self.model_mib + self.context_mib
        return WorkerStatus(
            kind=self.kind,
            pid=1 if self.is_running else None,
            state=WorkerState.READY if self.is_running else WorkerState.STOPPED,
            restarts=0,
            importing=is_importing,
            base=None if is_importing else self.base_mib,
            memory=has if self.imported_mib is None else self.imported_mib,
            preset=self.preset,
            model=self.preset if self.model is None else self.model.digest,
            form="" if self.model is None else self.model.form,
            memory_parts=parts,
            device_kind=self.device_kind,
        )

    @property
    def _weights(self) -> str:
        """As engines of its kind call them."""
        return "weights.unet" if self.kind == "image" else llm.WEIGHTS

    def hold(self, held: Held, model_mib: float) -> None:
        """Hold this one."""
        self.take(held.preset, model_mib)
        self.model = held

    def drop_context(self) -> None:
        self.done.append("drop_context")
        if self.deaf:
            raise WorkerLost("it does not answer")
        self.context_mib = 0.0

    def retire(self, why: str, timeout_s: float) -> bool:  # noqa: ARG002
        self.done.append("retire")
        self.is_running = False
        self.preset, self.model_mib, self.context_mib = None, 0.0, 0.0
        return True


class Machine:
    """The device.

    Args:
        total_mib: what it has.
        tenants: who is on it.
    """

    def __init__(self, total_mib: float, *tenants: Tenant) -> None:
        self.total_mib = total_mib
        self.foreign_mib = 0.0
        """What somebody else has."""
        self.owed_mib = 0.0
        """What was given back and is not there yet."""
        self.looked: Callable[[], None] = lambda: None
        """Called at every look, before it."""
        self.tenants = tenants
        self._lock = threading.Lock()

    def memory(self) -> VramStatus:
        """Who has what."""
        with self._lock:
            self.looked()
            free = self.total_mib - self.foreign_mib - self.owed_mib
            device = DeviceMemory(name=BUDGET, total_mib=self.total_mib, free_mib=free)
            status = registry.status([each.status for each in self.tenants], device, free)
            shown = status.device.model_copy(update={"total_mib": self.total_mib})
            return status.model_copy(update={"device": shown})
