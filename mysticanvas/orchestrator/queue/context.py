"""What a job of the orchestrator's own process sees of the queue that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pydantic import JsonValue


class Pace(Protocol):
    """How fast work may go, and who follows it."""

    def check(self) -> None:
        """To be called every 100 ms or so, and between any two things that can be kept apart.

        A job in the background waits here while one that somebody waits for needs the machine: at
        most 30 s, after which it lets 1 s of work go by before it waits again.

        Raises:
            JobCancelled: the job is to end; what was done is kept.
        """

    def progress(self, fraction: float, stage: str) -> None:
        """Say how far it is, 0 to 1, and what it does, in a word."""


class JobContext(Pace, Protocol):
    """Handed to whatever carries out a job of a kind that no worker runs."""

    @property
    def job_id(self) -> str: ...

    @property
    def project(self) -> str:
        """The project that the job was asked for in."""

    @property
    def params(self) -> Mapping[str, JsonValue]:
        """What the request gave, as the kind's own type allows it."""
