"""What the orchestrator wants its users to know although nobody asked."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from mysticanvas.contracts.base import Contract


class Alert(Contract):
    """Data of an `alert` event; `str(alert)` is the message."""

    kind: Literal[
        "worker_restart", "worker_breaker", "memory_miss", "store_rebuilt", "backup_failed"
    ]
    """`worker_restart`: a worker ended and is started again at once. `worker_breaker`: it ended
    so often that it is not, for a while. `memory_miss`: a job took so much more or less memory than
    was predicted that the prediction must be wrong about something. `store_rebuilt`: pictures were
    read back from their files, since the database did not have them. `backup_failed`: the backup of
    the day could not be made."""
    severity: Literal["warning", "error"]
    message: str
    """What happened and what can be done, in one line."""
    at: datetime
    worker: str = ""
    """The kind of the worker; empty if it is about none."""
    pid: int | None = None
    """The process that ended; None if none came to be, or none ended."""
    reason: str = ""
    """How it ended, to stand behind `the image worker`."""
    signal: str | None = None
    exit_code: int | None = None
    last_lines: list[str] = []
    """What the process wrote last to its standard output and error."""

    def __str__(self) -> str:
        return self.message
