"""Jobs as they cross a process boundary."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, JsonValue

from mysticanvas.contracts.base import Contract, Word, beginning
from mysticanvas.contracts.images import ImageRecord
from mysticanvas.contracts.params import GenerateParams, Priority
from mysticanvas.contracts.problem import Problem
from mysticanvas.contracts.recipe import Recipe

IDEMPOTENCY_HEADER = "Idempotency-Key"

WorkerKind = Literal["generate", "reproduce"]
"""What a worker carries out."""
HostKind = Literal["thumbnails", "autotag", "index", "import", "export", "backup", "weigh", "pull"]
"""What the orchestrator's own process carries out."""
JobKind = Literal[WorkerKind, HostKind]

WORKER_KINDS: frozenset[str] = frozenset({"generate", "reproduce"})

LONGEST_DELAY_S = 30.0
"""The longest that a job is put off which is to run again."""

AfterCrash = Literal["requeue", "cancel"]
"""What becomes of a job whose orchestrator ended without warning."""


class JobStatus(Word):
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
    after_crash: AfterCrash = "requeue"

    def changed(self, changes: Mapping[str, JsonValue]) -> dict[str, Any]:
        """Keyword arguments of `generate` that ask for the same but for these changes."""
        given = self.params.model_dump(mode="json", exclude={"prompt"}, exclude_defaults=True)
        run = self.model_dump(include={"after_crash"}, exclude_defaults=True)
        return {**given, **run, **changes}


class ReproduceRequest(Contract):
    """Body of `POST /v1/jobs`: the same picture again, from its recipe.

    `pixels_sha256` is what to compare with, if it is known; a result with these pixels is not
    recorded again, unless `parent` is deleted or its file is gone.
    """

    kind: Literal["reproduce"] = "reproduce"
    project: str = "default"
    recipe: Recipe
    parent: str | None = None
    pixels_sha256: str | None = None
    after_crash: AfterCrash = "requeue"


class HostRequest(Contract):
    """Body of `POST /v1/jobs`: work of the orchestrator's own process.

    `params` are the kind's own. `priority` decides among jobs that wait for that process, and what
    is in the background steps aside while somebody waits for a worker.
    """

    kind: HostKind
    project: str = "default"
    params: dict[str, JsonValue] = {}
    priority: Priority = "background"
    after_crash: AfterCrash = "requeue"


class Progress(Contract):
    """How far a running job is. `stage` is `load`, `encode`, `denoise`, `decode` or `save` on a
    worker, and the kind's own word elsewhere."""

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
    prompt: Annotated[str, AfterValidator(beginning)] = ""
    """The beginning of what its pictures are made from, in words; empty for a job that makes none.
    The whole of it would be in each event."""
    internal: bool = False
    """Whether the orchestrator gave it to itself."""
    after_crash: AfterCrash = "requeue"
    attempts: int = 0
    failures: list[str] = []
    """Why each attempt that counts against the job ended, oldest first."""
    position: int | None = None
    """Jobs that come before this one, while it waits."""
    eta_s: float | None = None
    """Seconds until it is likely to be done, where that can be told."""
    paused: bool = False
    """Whether it waits because the queue is paused."""
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
    result: dict[str, JsonValue] | None = None
    """What came of a job that makes no pictures."""
    matched: bool | None = None
    """Of a `reproduce` job: whether the pixels were those of a picture that is there, in which
    case `images` is empty."""
    reused: bool = False
    """Whether the result was there before, and nothing was run."""


class JobPage(Contract):
    """One page of jobs, newest first."""

    items: list[JobRecord]
    next_cursor: str | None = None
    total: int
