"""Jobs: the durable queue, and what became of each.

`attempts` is a fencing token: whoever ends or requeues a run names the attempt that it speaks for,
and is refused when the job has gone on without it. So a job reaches exactly one final state, and
its pictures are recorded exactly once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from mysticanvas.contracts.images import ImageRecord
from mysticanvas.contracts.jobs import JobRecord, JobStatus
from mysticanvas.contracts.problem import Problem
from mysticanvas.contracts.worker import GenerateTask
from mysticanvas.store import images, parts, queries, times
from mysticanvas.store.connection import Database, Row, Transaction

_SQL = queries.load("jobs")


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job, and what a worker is told to do for it; the record has pictures once it succeeded."""

    record: JobRecord
    task: GenerateTask | None


class Jobs:
    """All jobs, from any thread.

    Args:
        images: where the pictures of a job are read.
    """

    def __init__(self, database: Database, images: images.Images) -> None:
        self._database = database
        self._images = images

    def add(
        self,
        record: JobRecord,
        request_json: str,
        task: GenerateTask | None,
        idempotency_key: str | None = None,
        result_of: str | None = None,
    ) -> tuple[StoredJob, bool]:
        """Store a new job.

        Args:
            record: its first state: queued, or succeeded if its result was there before.
            request_json: the request as it came.
            task: what a worker is to do.
            idempotency_key: a job with this key is returned instead, if there is one.
            result_of: the job whose pictures are the result.

        Returns:
            The job, and whether it is new.
        """
        row = _new_row(record, request_json, task, idempotency_key, result_of)
        with self._database.write() as transaction:
            known = transaction.run(_SQL["by_key"], key=idempotency_key)
            added = [] if known else transaction.run(_SQL["insert"], **row)
        return self._stored(known or added)[0], not known

    def get(self, job_id: str) -> StoredJob:
        """The job with that id.

        Raises:
            NotFound: there is none.
        """
        full = parts.full_id(job_id)
        found = self._stored(self._database.read(_SQL["by_id"], id=full)) if full else []
        if not found:
            raise parts.not_found("job", job_id)
        return found[0]

    def find(self, part: str) -> StoredJob:
        """The job with that id, or with that head or tail (4 characters or more) of an id.

        Raises:
            NotFound: there is none.
            InvalidRequest: there are several.
        """
        if parts.full_id(part):
            return self.get(part)
        found = self._database.read(_SQL["by_part"], part=parts.searchable("job", part))
        return self.get(parts.only("job", part, [row["id"] for row in found]))

    def list(
        self, limit: int = 50, status: JobStatus | None = None, project: str | None = None
    ) -> Sequence[StoredJob]:
        """The newest jobs first, at most `limit` of them."""
        return self._stored(
            self._database.read(_SQL["newest"], limit=limit, status=status, project=project)
        )

    def claim(self) -> StoredJob | None:
        """Take the next job whose time has come: it runs from now on, as a new attempt."""
        claimed = self._change("claim", now=times.now())
        return claimed[0] if claimed else None

    def requeue(self, job_id: str, attempt: int, delay_s: float = 0) -> bool:
        """Put a running job back in its place, not to be claimed for `delay_s` seconds.

        Returns:
            Whether it was done; not so if this attempt does not run any more.
        """
        not_before = times.now() + timedelta(seconds=delay_s) if delay_s > 0 else None
        with self._database.write() as transaction:
            return bool(
                transaction.run(_SQL["requeue"], id=job_id, attempt=attempt, not_before=not_before)
            )

    def finish(
        self,
        job_id: str,
        attempt: int,
        status: JobStatus,
        error: Problem | None = None,
        matched: bool | None = None,
    ) -> JobRecord | None:
        """End a running job without pictures.

        Returns:
            The job, or None if this attempt does not run any more.
        """
        with self._database.write() as transaction:
            ended = _finish(transaction, job_id, attempt, status, error, matched)
        return self._stored(ended)[0].record if ended else None

    def succeed(
        self,
        job_id: str,
        attempt: int,
        made: Sequence[images.NewImage],
        matched: bool | None = None,
    ) -> JobRecord | None:
        """Record a running job's pictures and its success, together or not at all.

        Returns:
            The job with its pictures, or None if this attempt does not run any more.
        """
        with self._database.write() as transaction:
            ended = _finish(transaction, job_id, attempt, JobStatus.SUCCEEDED, None, matched)
            recorded = images.insert(transaction, made) if ended else []
        if not ended:
            return None
        return _stored(ended[0], recorded).record

    def cancel_queued(self, job_id: str) -> JobRecord | None:
        """Cancel a job that waits; None if it does not."""
        cancelled = self._change("cancel_queued", id=parts.full_id(job_id), now=times.now())
        return cancelled[0].record if cancelled else None

    def interrupted(self) -> Sequence[StoredJob]:
        """Jobs that run, oldest first: at the start, what an earlier orchestrator left behind."""
        return self._stored(self._database.read(_SQL["running"]))

    def position(self, job_id: str) -> int | None:
        """How many waiting jobs come before this one; None if it does not wait."""
        found = self._database.read(_SQL["position"], id=parts.full_id(job_id))
        return found[0]["position"] if found else None

    def next_due_s(self) -> float | None:
        """Seconds until a job can be claimed, 0 if one can be now; None if no job waits."""
        now = times.now()
        due = self._database.read(_SQL["next_due"], now=now)[0]["due"]
        return None if due is None else max(0.0, (due - now).total_seconds())

    def counts(self) -> dict[JobStatus, int]:
        """How many jobs there are of every status."""
        found = {row["status"]: row["jobs"] for row in self._database.read(_SQL["counts"])}
        return {status: found.get(status, 0) for status in JobStatus}

    def _change(self, query: str, **parameters: object) -> Sequence[StoredJob]:
        with self._database.write() as transaction:
            changed = transaction.run(_SQL[query], **parameters)
        return self._stored(changed)

    def _stored(self, rows: Sequence[Row]) -> Sequence[StoredJob]:
        sources = {row["id"]: str(row["result_of"] or row["id"]) for row in rows}
        succeeded = [sources[row["id"]] for row in rows if row["status"] == JobStatus.SUCCEEDED]
        made = self._images.of_jobs(succeeded)
        return [_stored(row, made.get(sources[row["id"]], [])) for row in rows]


def _finish(
    transaction: Transaction,
    job_id: str,
    attempt: int,
    status: JobStatus,
    error: Problem | None,
    matched: bool | None,
) -> list[Row]:
    return transaction.run(
        _SQL["finish"],
        id=job_id,
        attempt=attempt,
        status=status,
        error=None if error is None else error.model_dump_json(),
        matched=matched,
        now=times.now(),
    )


def _new_row(
    record: JobRecord,
    request_json: str,
    task: GenerateTask | None,
    idempotency_key: str | None,
    result_of: str | None,
) -> Row:
    ended = (record.started_at, record.finished_at)
    started_at, finished_at = (moment and times.to_db(moment) for moment in ended)
    return {
        **record.model_dump(
            include={
                "id",
                "kind",
                "project",
                "priority",
                "request_hash",
                "request_id",
                "attempts",
                "matched",
                "reused",
            }
        ),
        "status": record.status.value,
        "request": request_json,
        "task": None if task is None else task.model_dump_json(),
        "idempotency_key": idempotency_key,
        "notices": json.dumps(record.notices),
        "error": None if record.error is None else record.error.model_dump_json(),
        "result_of": result_of,
        "created_at": times.to_db(record.created_at),
        "started_at": started_at,
        "finished_at": finished_at,
    }


def _stored(row: Row, made: list[ImageRecord]) -> StoredJob:
    started_at, finished_at = row["started_at"], row["finished_at"]
    record = JobRecord(
        id=str(row["id"]),
        kind=row["kind"],
        status=row["status"],
        project=row["project"],
        priority=row["priority"],
        request_hash=row["request_hash"],
        attempts=row["attempts"],
        request_id=row["request_id"],
        created_at=times.from_db(row["created_at"]),
        started_at=started_at and times.from_db(started_at),
        finished_at=finished_at and times.from_db(finished_at),
        error=row["error"] and Problem.model_validate_json(row["error"]),
        notices=json.loads(row["notices"]),
        images=made,
        matched=row["matched"],
        reused=row["reused"],
    )
    task = row["task"]
    return StoredJob(record, None if task is None else GenerateTask.model_validate_json(task))
