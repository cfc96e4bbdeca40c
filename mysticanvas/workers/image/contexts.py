"""What a process takes of a GPU outside of PyTorch's allocator: measured when it is made."""

from __future__ import annotations

import os
from typing import NamedTuple

import torch

from mysticanvas import logs, nvidia
from mysticanvas.contracts.memory import CONTEXT, MemoryPart

_MIB = 1 << 20
_LEAST_MIB, _MOST_MIB = 64.0, 2048.0
"""Of a context on any GPU. Beyond, others took or gave memory at the same moment."""
_log = logs.get(__name__)


class Readings(NamedTuple):
    """What was seen, in MiB; None where the driver does not say."""

    own: float | None
    """What it counts to this process, with a context."""
    free_before: float | None
    """Of the whole GPU, without one."""
    free_after: float | None
    """Of the whole GPU, with it."""
    reserved: float
    """What the allocator has by then."""


def made(device: torch.device) -> list[MemoryPart]:
    """Make the context of a process that has none, and tell what it takes; nothing where that
    cannot be seen."""
    before = nvidia.memory()
    torch.zeros(1, device=device)
    torch.cuda.synchronize(device)
    after = nvidia.memory()
    readings = Readings(
        own=nvidia.own_mib(os.getpid()),
        free_before=None if before is None else before.free_mib,
        free_after=None if after is None else after.free_mib,
        reserved=torch.cuda.memory_reserved(device) / _MIB,
    )
    mib = taken(readings)
    _log.info("context_made", mib=mib, **readings._asdict())
    if mib is None:
        return []
    return [MemoryPart(name=CONTEXT, mib=mib, known="measured", device=str(device))]


def taken(readings: Readings) -> float | None:
    """MiB of a context; None if what was seen does not tell."""
    own, before, after, reserved = readings
    if own is not None:
        found = own - reserved
    elif before is not None and after is not None:
        found = before - after - reserved
    else:
        return None
    return found if _LEAST_MIB <= found <= _MOST_MIB else None
