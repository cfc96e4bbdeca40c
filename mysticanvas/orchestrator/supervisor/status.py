"""What others are told of the life of a worker."""

from __future__ import annotations

import time

from mysticanvas import processes
from mysticanvas.contracts.health import Reserve, WorkerStatus
from mysticanvas.orchestrator.supervisor.lifecycle import Life, Process


def of(kind: str, life: Life, reserve: Reserve | None) -> WorkerStatus:
    """The worker of that kind as it is now.

    Args:
        reserve: the process that waits to take over.
    """
    process = life.process
    held = None if process is None else process.held
    return WorkerStatus(
        kind=kind,
        pid=None if process is None else process.pid,
        state=life.state,
        importing=process is not None and process.importing,
        restarts=life.restarts,
        preset=None if held is None else held.preset,
        memory=0.0 if process is None else _memory_mib(process),
        base=None if process is None else process.base_mib,
        memory_parts=[] if process is None else list(process.memory_parts),
        device=None if process is None else process.device,
        device_kind=life.device_kind,
        gpu=life.gpu,
        model=None if held is None else held.digest,
        form="" if held is None else held.form,
        last_error=life.last_error,
        retry_s=_retry_s(life),
        reserve=reserve,
    )


def shown(life: Life) -> tuple[object, ...]:
    """What listeners are told of: not every second's memory, but what the model holds."""
    process = life.process
    told = process and (process.pid, process.importing, process.held, process.memory_parts)
    return life.state, told, life.restarts, life.broken


def _memory_mib(process: Process) -> float:
    """What it has now, or had when it answered last."""
    return process.memory_mib if process.stood_for else processes.memory_mib(process.pid)


def _retry_s(life: Life) -> float | None:
    if not life.broken or life.retry_at is None:
        return None
    return max(0.0, life.retry_at - time.monotonic())
