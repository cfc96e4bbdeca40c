"""The device: the workers that share its memory, and what decides which of them has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mysticanvas import nvidia
from mysticanvas.contracts.alerts import Alert
from mysticanvas.contracts.health import WorkerState, WorkerStatus
from mysticanvas.contracts.memory import DeviceKind
from mysticanvas.contracts.vram import Unloaded, VramStatus
from mysticanvas.orchestrator.arbiter import registry
from mysticanvas.orchestrator.arbiter.arbiter import Arbiter
from mysticanvas.orchestrator.arbiter.feedback import Feedback
from mysticanvas.orchestrator.arbiter.keep_alive import KeepAlive
from mysticanvas.orchestrator.arbiter.language import LanguageModels
from mysticanvas.orchestrator.arbiter.pins import Pins
from mysticanvas.orchestrator.arbiter.planner import Planner
from mysticanvas.orchestrator.arbiter.profiles import Profiles
from mysticanvas.orchestrator.events import Bus
from mysticanvas.orchestrator.presets import Presets
from mysticanvas.orchestrator.supervisor import memory
from mysticanvas.orchestrator.supervisor.messages import Held
from mysticanvas.orchestrator.supervisor.worker import Worker
from mysticanvas.settings import Settings
from mysticanvas.store import Store


class Device:
    """What the workers share, and all that measures, plans and decides who has it.

    Args:
        workers: the first is the one that makes pictures; others are started on demand.
        alert: called with what users should know.
        unloaded: called with what has left the device.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        settings: Settings,
        store: Store,
        presets: Presets,
        bus: Bus,
        alert: Callable[[Alert], None],
        unloaded: Callable[[Unloaded], None],
    ) -> None:
        self._workers = workers
        self._budget_mib = settings.memory_budget_mib
        worker, *on_demand = workers
        self.profiles = Profiles(store.profiles)
        self.feedback = Feedback(store.measurements, self.profiles, bus, alert, store.presets)
        self.pins = Pins()
        self.arbiter = Arbiter(workers, self.memory, self.pins, told=unloaded)
        self.planner = Planner(
            presets, self.profiles, self.feedback, self.arbiter, worker, settings
        )
        self.language = LanguageModels(store, self.arbiter, *on_demand) if on_demand else None
        self.keep_alive = KeepAlive(
            self.arbiter, [each.kind for each in on_demand], settings.keep_alive_s
        )

    def kind(self) -> DeviceKind | None:
        """What the worker that makes pictures computes on; None before it has said so."""
        return self.planner.device_kind

    def memory(self) -> VramStatus:
        """Who has its memory."""
        statuses = [worker.status for worker in self._workers]
        driver = None
        if registry.device_kind(statuses) == "cuda":
            statuses = [_up_to_date(worker) for worker in self._workers]
            driver = nvidia.memory()
        return registry.status(statuses, memory.system(), self._budget_mib, driver, self._is_pinned)

    def stop_waiting(self) -> None:
        """Have no request for a language model wait for room any more."""
        if self.language is not None:
            self.language.close()

    def _is_pinned(self, worker: WorkerStatus) -> bool:
        return self.pins.protecting(worker.kind, Held.by(worker)) is not None


def _up_to_date(worker: Worker) -> WorkerStatus:
    """A worker with what its job has taken of a GPU by now, of which only the worker itself knows
    whose it is."""
    if worker.status.state is WorkerState.BUSY:
        worker.look()
    return worker.status
