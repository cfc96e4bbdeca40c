"""What a job of the orchestrator's own process sees of the queue that runs it."""

from __future__ import annotations

from typing import Protocol


class JobContext(Protocol):
    """Handed to whatever carries out a job of a kind that no worker runs."""

    @property
    def job_id(self) -> str: ...

    def check(self) -> None:
        """To be called every 100 ms or so, and between any two things that can be kept apart.

        It waits while a job that somebody is waiting for needs the machine.

        Raises:
            JobCancelled: the job is to end; what was done is kept.
        """

    def progress(self, fraction: float, stage: str) -> None:
        """Say how far it is, 0 to 1, and what it does, in a word."""
