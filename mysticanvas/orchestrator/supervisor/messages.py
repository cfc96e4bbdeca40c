"""What is said to the life of a worker, and what it has done."""

from __future__ import annotations

import signal
import threading
from typing import NamedTuple

from mysticanvas.contracts.health import Health, WorkerState, WorkerStatus
from mysticanvas.contracts.memory import DeviceKind, MemoryPart
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.orchestrator.ending import Ending


class Held(NamedTuple):
    """A model that a process holds. What is the same model is decided here and nowhere else."""

    digest: str
    preset: str
    form: str = ""
    """What beside its files decides what is loaded; see `WorkerStatus`."""

    @classmethod
    def by(cls, worker: WorkerStatus) -> Held | None:
        """The one that a worker holds, as it says."""
        if worker.model is None or worker.preset is None:
            return None
        return cls(worker.model, worker.preset, worker.form)

    def is_same(self, other: Held) -> bool:
        """Whether it is the same model, whichever preset it was loaded for."""
        return (self.digest, self.form) == (other.digest, other.form)

    def is_in(self, worker: WorkerStatus) -> bool:
        """Whether a worker holds it, as that says."""
        held = Held.by(worker)
        return held is not None and held.is_same(self)


class Stop(NamedTuple):
    """It is wanted no longer; a process has `grace_s` seconds to end."""

    grace_s: float


class Retire(NamedTuple):
    """Its memory is needed for something else: it is wanted no longer, until somebody says so."""

    why: str


class Reset(NamedTuple):
    """Somebody wants another try, whatever has happened."""


class Wanted(NamedTuple):
    """Somebody waits for it: a job, or a user who wants it to be ready for one."""


class Tick(NamedTuple):
    """Time has passed."""


class MemorySeen(NamedTuple):
    """What the system's memory has left, and the GPU if its driver says so and it is owed."""

    free_mib: float
    gpu_free_mib: float | None = None


class Spawned(NamedTuple):
    number: int
    pid: int


class Answered(NamedTuple):
    """The shell reported that it listens."""

    number: int
    stood_for: bool = False
    """Whether another process only stands for it, as a launcher's may."""


class Beat(NamedTuple):
    """An answer to the question how it is."""

    number: int
    importing: bool
    memory_mib: float
    free_mib: float | None
    memory_parts: tuple[MemoryPart, ...] = ()
    device: DeviceMemory | None = None
    device_kind: DeviceKind | None = None
    base_mib: float | None = None

    @classmethod
    def of(cls, number: int, health: Health, free_mib: float | None) -> Beat:
        """What an answer says.

        Args:
            free_mib: what the worker's device has left, if that was looked at.
        """
        return cls(
            number,
            health.state is WorkerState.STARTING,
            health.memory_mib,
            free_mib,
            tuple(health.memory_parts),
            health.device,
            health.device_kind,
            health.base_mib,
        )


class Missed(NamedTuple):
    """No answer to that, for so many seconds."""

    number: int
    seconds: float


class Begun(NamedTuple):
    """A job was given to it."""

    number: int
    held: Held
    """The model that the job needs."""
    times: float = 1.0
    """As in `Work`."""


class Asked(NamedTuple):
    """Something is asked of it that may keep it from answering for a while, such as what a model
    needs; which one it holds stays as it is."""

    number: int


class Told(NamedTuple):
    """That is answered, or will not be."""

    number: int


class Progressed(NamedTuple):
    number: int
    stage: str
    step: int


class Ended(NamedTuple):
    """The job is over, and the process at rest."""

    number: int
    held: Held | None
    memory_parts: tuple[MemoryPart, ...] = ()
    """What the model holds, as far as the engine told."""


class Distrusted(NamedTuple):
    """Whoever used it found that it cannot be used any more."""

    number: int
    why: str
    failed: bool = True
    """Whether that is its fault; else it is followed by another without a word."""


class Exited(NamedTuple):
    """The process, and all that it started, is gone; or it never came to be."""

    number: int
    ending: Ending


class CaughtUp(NamedTuple):
    """Somebody wants to know when all that was said before has been taken. As an effect, it has."""

    seen: threading.Event


Message = (
    Stop | Retire | Reset | Wanted | Tick | MemorySeen | CaughtUp
    | Spawned | Answered | Beat | Missed | Asked | Told
    | Begun | Progressed | Ended | Distrusted | Exited
)  # fmt: skip


class Spawn(NamedTuple):
    """Start the process with this number."""

    number: int


class Signal(NamedTuple):
    """Send this to the process and its group."""

    pid: int
    how: signal.Signals


class Prepare(NamedTuple):
    """Have another process in reserve: this one has nothing to do, and there is room."""


class Report(NamedTuple):
    """Tell users that a process ended, and what comes of it."""

    ending: Ending
    reason: str
    pid: int | None
    failures: int
    cool_down_s: float | None
    """None if the breaker is closed."""
    again: bool
    """Whether it is started again by itself."""


Effect = Spawn | Signal | Prepare | Report | CaughtUp
