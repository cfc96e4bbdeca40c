"""What `mysticanvas status --json` and `stop --json` print."""

from __future__ import annotations

from typing import Literal

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.health import QueueStatus


class OrchestratorReport(Contract):
    """The orchestrator of a home."""

    pid: int
    version: str
    url: str
    uptime_s: float
    memory_mib: float
    clients: list[str]
    """Who listens to it: notebooks and programs, by the name that they give themselves."""


class WorkerReport(Contract):
    """A worker process."""

    kind: str
    state: str
    pid: int | None
    restarts: int
    model: str | None
    """Digest of the model that it holds."""
    preset: str | None = None
    """The preset that it was loaded for."""
    memory_mib: float | None
    """None while there is no process."""
    last_error: str
    reserve_pid: int | None = None
    """The process that stands by to take over; None if there is none."""
    reserve_mib: float | None = None


class DiskReport(Contract):
    """Room, in bytes."""

    free: int
    """On the disk of the home."""
    database: int
    logs: int
    backups: int


class StatusReport(Contract):
    """What runs for a home."""

    home: str
    state: Literal["stopped", "starting", "stopping", "running", "silent"]
    """`starting`: somebody starts it, or is at the store; `stopping`: there is a process that
    listens no longer; `silent`: one that does not answer."""
    orchestrator: OrchestratorReport | None = None
    workers: list[WorkerReport] = []
    queue: QueueStatus | None = None
    disk: DiskReport | None = None
    """None if there is no home yet."""


class StopReport(Contract):
    """What came of stopping."""

    home: str
    stopped: bool
    """False: nothing ran, or it is used."""
    killed: bool = False
    """It did not stop when it was asked to, and was ended."""
    clients: list[str] = []
    """Who uses it, if it was not stopped for that."""
