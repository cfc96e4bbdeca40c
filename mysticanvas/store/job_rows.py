"""Jobs as rows of their table, and rows as jobs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import JsonValue, ValidationError

from mysticanvas.contracts.base import canonical_json
from mysticanvas.contracts.images import ImageRecord
from mysticanvas.contracts.jobs import WORKER_KINDS, JobRecord, JobStatus
from mysticanvas.contracts.problem import Problem
from mysticanvas.contracts.worker import GenerateTask
from mysticanvas.store import times
from mysticanvas.store.connection import Row
from mysticanvas.store.waiting import Entry

_AS_THEY_ARE = (
    "id",
    "kind",
    "project",
    "priority",
    "request_hash",
    "request_id",
    "attempts",
    "matched",
    "reused",
    "internal",
    "after_crash",
)


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job and what is to be done for it; the record has pictures once it succeeded."""

    record: JobRecord
    task: GenerateTask | None = None
    """What a worker is told, for a kind that a worker carries out; None if it cannot be read."""
    params: dict[str, JsonValue] = field(default_factory=dict)
    """What the request gave, for any other kind."""
    seq: int = 0
    """Its place in the order of queueing."""
    runner: str | None = None
    """Who runs it, while it runs: an orchestrator's identity as text."""


def to_row(job: StoredJob, request: str, key: str | None, result_of: str | None) -> Row:
    """All columns of a new row."""
    record = job.record
    ended = (record.started_at, record.finished_at)
    started_at, finished_at = (moment and times.to_db(moment) for moment in ended)
    return {
        **{name: getattr(record, name) for name in _AS_THEY_ARE},
        "seq": job.seq,
        "status": record.status.value,
        "request": request,
        "task": _task_json(job),
        "idempotency_key": key,
        "notices": json.dumps(record.notices),
        "failures": json.dumps(record.failures),
        "error": problem_json(record.error),
        "result_of": result_of,
        "created_at": times.to_db(record.created_at),
        "started_at": started_at,
        "finished_at": finished_at,
        "runner": job.runner,
        "heartbeat_at": started_at if job.runner else None,
    }


def to_record(row: Row, made: list[ImageRecord], prompt: str) -> JobRecord:
    """The record of a row.

    Args:
        made: the pictures that are its result.
        prompt: what such are made from, if there are none.
    """
    started_at, finished_at = row["started_at"], row["finished_at"]
    return JobRecord.model_validate(
        {
            **{name: row[name] for name in _AS_THEY_ARE},
            "id": str(row["id"]),
            "prompt": made[0].prompt if made else prompt,
            "status": row["status"],
            "created_at": times.from_db(row["created_at"]),
            "started_at": started_at and times.from_db(started_at),
            "finished_at": finished_at and times.from_db(finished_at),
            "error": row["error"] and Problem.model_validate_json(row["error"]),
            "notices": json.loads(row["notices"]),
            "failures": json.loads(row["failures"]),
            "result": row["result"] and json.loads(row["result"]),
            "images": made,
        }
    )


def to_job(row: Row, made: list[ImageRecord]) -> StoredJob:
    """The whole job of a row."""
    text = row["task"]
    on_worker = row["kind"] in WORKER_KINDS and text is not None
    task = _task(text) if on_worker else None
    return StoredJob(
        to_record(row, made, "" if task is None else task.recipe.params.prompt),
        task=task,
        params={} if on_worker or text is None else json.loads(text),
        seq=row["seq"],
        runner=row["runner"],
    )


def _task(text: str) -> GenerateTask | None:
    """A task as it was stored; None if another version wrote it in a form that is not known here,
    which must not keep the job from being shown or ended."""
    try:
        return GenerateTask.model_validate_json(text)
    except ValidationError:
        return None


def to_entry(job: StoredJob, not_before: datetime | None) -> Entry:
    """The place of a job that waits; `not_before` is as the database keeps times."""
    record, task = job.record, job.task
    return Entry(
        background=record.priority != "interactive",
        seq=job.seq,
        id=record.id,
        kind=record.kind,
        not_before=not_before,
        model="" if task is None else task.model.digest,
        pixels=0 if task is None else task.recipe.params.pixels,
    )


def _task_json(job: StoredJob) -> str | None:
    if job.task is not None:
        return job.task.model_dump_json()
    return None if job.record.kind in WORKER_KINDS else canonical_json(job.params)


def problem_json(problem: Problem | None) -> str | None:
    return None if problem is None else problem.model_dump_json()


def begun(record: JobRecord, now: datetime) -> JobRecord:
    """The record of a job whose next attempt begins."""
    started = {
        "status": JobStatus.RUNNING,
        "attempts": record.attempts + 1,
        "started_at": times.from_db(now),
    }
    return record.model_copy(update=started)
