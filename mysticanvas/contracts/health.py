"""What `GET /internal/health` answers on every process. It is served from memory."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mysticanvas.contracts.base import PROTOCOL, Contract, Word
from mysticanvas.contracts.memory import DeviceKind, MemoryPart
from mysticanvas.contracts.problem import Problem
from mysticanvas.contracts.vram import DeviceMemory


class WorkerState(Word):
    """Where a worker process is."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"
    STOPPING = "stopping"
    FAILED = "failed"


class Reserve(Contract):
    """A process that takes over when a worker's is lost: its engine is imported, and it holds no
    model."""

    pid: int
    memory: float
    """Resident memory of the process in MiB."""


class WorkerStatus(Contract):
    """A worker as the orchestrator sees it."""

    kind: str
    pid: int | None
    """None while there is no process."""
    state: WorkerState
    """`ready` is a process that answers; its engine may still be importing."""
    importing: bool = False
    """Whether its engine is still being imported, so that its memory will grow."""
    restarts: int
    """How often a process was started in place of one that had ended."""
    preset: str | None = None
    """The preset whose model is loaded."""
    memory: float = 0.0
    """Resident memory of the process in MiB."""
    base: float | None = Field(default=None, repr=False)
    """That when its engine was there and held no model; None if it is not known."""
    memory_parts: list[MemoryPart] = Field(default=[], repr=False)
    """What its model holds, where the engine tells it."""
    device: DeviceMemory | None = None
    """The GPU that its model is on."""
    device_kind: DeviceKind | None = None
    """What it computes on, by the newest process whose engine was imported, which may have ended;
    None before the first, unless it is set."""
    gpu: DeviceMemory | None = None
    """The GPU as one of its processes saw it last."""
    model: str | None = Field(default=None, repr=False)
    """Digest of the model that is loaded."""
    form: str = ""
    """What beside its files makes it another: the number format that an image model runs in, or how
    much context a language model has and where its layers are."""
    last_error: str = ""
    """How the newest process that ended did so; empty if none has."""
    retry_s: float | None = None
    """Seconds until a job may have the next process started, after too many failures; None if
    it starts by itself."""
    reserve: Reserve | None = None
    """What stands by for it; its memory counts beside `memory`."""


class QueueStatus(Contract):
    queued: int
    running: int
    paused: bool = False
    """Whether no job is begun until somebody resumes the queue."""


class Health(Contract):
    """`state` is `starting` (imports are under way), `ready`, `busy`, `stopping` or `failed`."""

    process: Literal["orchestrator", "worker"]
    kind: str = ""
    state: WorkerState
    version: str
    protocol: int = PROTOCOL
    pid: int
    uptime_s: float
    home: str | None = None
    """The home directory of an orchestrator."""
    memory_mib: float
    """Resident memory of the process."""
    base_mib: float | None = None
    """That of a worker when its engine was there and held no model; None before."""
    memory_parts: list[MemoryPart] = Field(default=[], repr=False)
    """What a worker's model holds, part by part, where the engine tells it."""
    device: DeviceMemory | None = None
    """The GPU that a worker's model is on, as the worker sees it."""
    device_kind: DeviceKind | None = None
    """What a worker computes on, once its engine was imported."""
    models: list[str] = Field(default=[], repr=False)
    worn: bool = False
    """Whether a worker was refused memory of its GPU, after which libraries in its process may
    compute otherwise than they usually do."""
    last_error: Problem | None = None
    queue: QueueStatus | None = None
    workers: list[WorkerStatus] = []
    clients: list[str] = []
    """Who listens to the orchestrator."""
