"""What becomes of a running job that another process began: a pure decision.

The identity of that process decides, never the age of its last sign: a machine that slept, or is
slow, is not dead, and a job that runs twice is worse than one that waits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum, auto

from mysticanvas.contracts.jobs import AfterCrash
from mysticanvas.processes import Identity


class Rescue(Enum):
    """What to do with the job."""

    LEAVE = auto()
    """Its process lives, and will end it."""
    REQUEUE = auto()
    CANCEL = auto()


def decide(
    runner: str | None, after_crash: AfterCrash, alive: Callable[[Identity], bool]
) -> Rescue:
    """What to do with a job that is said to run.

    Args:
        runner: who runs it, as `to_text` wrote it; None or anything else is nobody.
        after_crash: what was asked for.
        alive: whether a process still runs.
    """
    identity = None if runner is None else from_text(runner)
    if identity is not None and alive(identity):
        return Rescue.LEAVE
    return Rescue.REQUEUE if after_crash == "requeue" else Rescue.CANCEL


def to_text(identity: Identity) -> str:
    """An identity as the store keeps it."""
    return json.dumps(identity._asdict())


def from_text(text: str) -> Identity | None:
    """The identity that `to_text` wrote; None for anything else."""
    try:
        return Identity(**json.loads(text))
    except (TypeError, ValueError):
        return None
