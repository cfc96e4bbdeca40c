"""What a queue asks for before a job runs: room on the device."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.worker import GenerateTask
from mysticanvas.orchestrator.supervisor.lease import Lease


class Admit(Protocol):
    """How room is made for a job."""

    def __call__(
        self, task: GenerateTask, ready: Callable[[], Lease], stopped: Callable[[], bool]
    ) -> AbstractContextManager[Plan | None]:
        """Make room, and keep it while the block runs; the plan, or None if it is not known what
        the job needs.

        Args:
            ready: gives the worker that will have the job, once it answers.
            stopped: whether the job is wanted no longer.

        Raises:
            DoesNotFit: there is no room to be made.
            JobCancelled: it was stopped while it waited.
            WorkerLost: the worker is gone.
        """
