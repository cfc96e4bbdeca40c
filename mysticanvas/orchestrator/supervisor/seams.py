"""What stands between a worker and the machine, so that tests can stand there instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mysticanvas import nvidia
from mysticanvas.orchestrator.supervisor import launcher, memory
from mysticanvas.orchestrator.supervisor.launcher import Starter
from mysticanvas.orchestrator.supervisor.spare import Spare


class Seams(NamedTuple):
    """How processes are started, and memory is looked at."""

    start: Starter = launcher.start
    free_mib: memory.Probe = memory.system_free_mib
    gpu_free_mib: Callable[[], float | None] = nvidia.free_mib
    """What the GPU has left in MiB; None where no driver says so."""
    spare: Spare | None = None
    """What keeps a process in reserve, and starts them then; None for no such process."""


REAL = Seams()
