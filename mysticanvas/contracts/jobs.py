"""Jobs as they cross a process boundary."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.images import ImageRecord
from mysticanvas.contracts.params import GenerateParams, Priority
from mysticanvas.contracts.problem import Problem
from mysticanvas.contracts.recipe import Recipe

IDEMPOTENCY_HEADER = "Idempotency-Key"

JobKind = Literal["generate", "reproduce"]


class JobStatus(StrEnum):
    """Where a job is. It leaves the last three never again."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


class GenerateRequest(Contract):
    """Body of `POST /v1/jobs`: pictures from a prompt."""

    kind: Literal["generate"] = "generate"
    project: str = "default"
    params: GenerateParams


class ReproduceRequest(Contract):
    """Body of `POST /v1/jobs`: the same picture again, from its recipe.

    `pixels_sha256` is what to compare with, if it is known; a result with these pixels is not
    recorded again.
    """

    kind: Literal["reproduce"] = "reproduce"
    project: str = "default"
    recipe: Recipe
    parent: str | None = None
    pixels_sha256: str | None = None


class Progress(Contract):
    """How far a running job is: `stage` is `load`, `encode`, `denoise`, `decode` or `save`."""

    stage: str
    step: int = 0
    steps: int = 0
    fraction: float = 0.0


class JobRecord(Contract):
    """A job as the orchestrator knows it."""

    id: str
    kind: JobKind
    status: JobStatus
    project: str
    priority: Priority
    request_hash: str
    attempts: int = 0
    position: int | None = None
    """Jobs that come before this one, while it waits."""
    progress: Progress | None = None
    request_id: str = ""
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: Problem | None = None
    notices: list[str] = []
    """What the user should know, a sentence each."""
    images: list[ImageRecord] = []
    """The result, in batch order, once the job succeeded."""
    matched: bool | None = None
    """Of a `reproduce` job: whether the pixels were the same, in which case `images` is empty."""
    reused: bool = False
    """Whether the result was there before, and nothing was run."""
