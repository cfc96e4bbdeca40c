"""Jobs: the durable queue, and what became of each.

`attempts` is a fencing token: whoever ends or requeues a run names the attempt that it speaks for,
and is refused when the job has gone on without it. So a job reaches exactly one final state, and
its pictures are recorded exactly once.

Jobs that wait or run are known in memory too, so that the way of a job through the table is four
narrow statements. The table decides: memory follows what was committed.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import JsonValue

from mysticanvas.contracts.base import canonical_json
from mysticanvas.contracts.jobs import JobPage, JobRecord, JobStatus
from mysticanvas.contracts.measurements import Measurement
from mysticanvas.contracts.problem import Problem
from mysticanvas.contracts.worker import GenerateTask
from mysticanvas.errors import StoreError
from mysticanvas.store import job_pages, job_rows, parts, queries, times
from mysticanvas.store.connection import Database
from mysticanvas.store.image_rows import NewImage
from mysticanvas.store.images import Images
from mysticanvas.store.job_rows import StoredJob
from mysticanvas.store.measurements import Measurements
from mysticanvas.store.waiting import Entry, Waiting

_SQL = queries.load("jobs")
_KNOWN = 256
"""Waiting jobs that are kept in memory as a whole; of others, their place."""


class Jobs:
    """All jobs, from any thread.

    Args:
        images: where the pictures of a job are recorded and read.
        measurements: where it is kept what a job took of the memory.
    """

    def __init__(self, database: Database, images: Images, measurements: Measurements) -> None:
        self._database = database
        self._images = images
        self._measurements = measurements
        # Never held while the database works.
        self._lock = threading.Lock()
        self._known: dict[str, StoredJob] = {}
        self._waiting = Waiting()
        for entry in job_pages.waiting(database):
            self._waiting.put(entry)
        self._last_seq: int = database.read(_SQL["last_seq"])[0]["seq"]

    def add(
        self,
        record: JobRecord,
        request_json: str,
        task: GenerateTask | None,
        idempotency_key: str | None = None,
        result_of: str | None = None,
        params: dict[str, JsonValue] | None = None,
        runner: str | None = None,
    ) -> tuple[StoredJob, bool]:
        """Store a new job.

        Args:
            record: its first state: queued, or succeeded if its result was there before.
            request_json: the request as it came.
            task: what a worker is to do.
            idempotency_key: a job with this key is returned instead, if there is one.
            result_of: the job whose pictures are the result.
            params: of a job that no worker runs: what is to be done.
            runner: who runs it from now on, as if it had been claimed; None if it is to wait.

        Returns:
            The job, and whether it is new.
        """
        if runner is not None:
            record = job_rows.begun(record, times.now())
        try:
            with self._database.write() as transaction:
                # Alone here, since there is one writer. A transaction that fails leaves a gap.
                self._last_seq += 1
                job = StoredJob(record, task, params or {}, self._last_seq, runner)
                row = job_rows.to_row(job, request_json, idempotency_key, result_of)
                transaction.insert("jobs", [row])
        except StoreError:
            # Keys are unique. To look first would cost every job what only a second try needs.
            known = self.by_key(idempotency_key)
            if known is None:
                raise
            return known, False
        if result_of is not None:
            return self.get(record.id), True
        if record.status is JobStatus.QUEUED:
            self._queued(job)
        elif runner is not None:
            with self._lock:
                self._known[record.id] = job
        return job, True

    def get(self, job_id: str) -> StoredJob:
        """The job with that id.

        Raises:
            NotFound: there is none.
        """
        full = parts.full_id(job_id)
        found = self._database.read(_SQL["by_id"], id=full) if full else []
        if not found:
            raise parts.not_found("job", job_id)
        return job_rows.to_job(found[0], job_pages.made(self._images, found)[0])

    def by_key(self, idempotency_key: str | None) -> StoredJob | None:
        """The job that was stored with that key; None if there is none."""
        known = self._database.read(_SQL["id_by_key"], key=idempotency_key)
        return self.get(known[0]["id"]) if known else None

    def request(self, job_id: str) -> str:
        """The request that a job was made of, as it came."""
        return str(self._database.read(_SQL["request"], id=job_id)[0]["request"])

    def find(self, part: str, project: str | None = None) -> StoredJob:
        """The job with that id, or with that head or tail of an id.

        Args:
            part: a whole id, or 4 characters or more.
            project: look among its jobs and the internal ones only, if it is a part.

        Raises:
            NotFound: there is none.
            InvalidRequest: there are several.
        """
        if parts.full_id(part):
            return self.get(part)
        wanted = parts.searchable("job", part)
        found = self._database.read(_SQL["by_part"], part=wanted, project=project)
        return self.get(parts.only("job", part, [row["id"] for row in found]))

    def page(
        self,
        limit: int = 50,
        cursor: str | None = None,
        status: JobStatus | None = None,
        kind: str | None = None,
        project: str | None = None,
        internal: bool = False,
    ) -> JobPage:
        """A page of jobs, newest first. Those queued meanwhile do not shift what follows.

        Args:
            limit: 1 to 1000 jobs.
            cursor: `next_cursor` of the page before, of the same filters.
            status, kind, project: only jobs that have it.
            internal: with those that the orchestrator gave itself, which belong to no project.

        Raises:
            InvalidRequest: an argument is not allowed.
        """
        filters = {"status": status and status.value, "kind": kind, "project": project}
        return job_pages.find(self._database, self._images, limit, cursor, filters, internal)

    def claim(
        self,
        kinds: Collection[str] | None = None,
        runner: str | None = None,
        model: str | None = None,
    ) -> StoredJob | None:
        """Take the next job whose time has come: it runs from now on, as a new attempt.

        Args:
            kinds: only a job of one of these kinds.
            runner: who runs it.
            model: digest of the one that is loaded, whose jobs may go first; see `Waiting.take`.
        """
        while True:
            now = times.now()
            with self._lock:
                entry = self._waiting.take(kinds, now, model)
            if entry is None:
                return None
            try:
                with self._database.write() as transaction:
                    claimed = transaction.change(_SQL["claim"], id=entry.id, runner=runner, now=now)
                if claimed:
                    return self._running(entry.id, runner, now)
            except BaseException:
                with self._lock:
                    self._waiting.put(entry)
                raise

    def heartbeat(self, job_id: str) -> None:
        """Note that a job that runs is being worked on."""
        with self._database.write() as transaction:
            transaction.change(_SQL["heartbeat"], id=job_id, now=times.now())

    def requeue(
        self, job_id: str, attempt: int, delay_s: float = 0, failures: Sequence[str] = ()
    ) -> bool:
        """Put a running job back in its place, not to be claimed for `delay_s` seconds.

        Args:
            failures: why attempts ended that count against the job, those before included.

        Returns:
            Whether it was done; not so if this attempt does not run any more.
        """
        not_before = times.now() + timedelta(seconds=delay_s) if delay_s > 0 else None
        with self._database.write() as transaction:
            done = transaction.change(
                _SQL["requeue"],
                id=job_id,
                attempt=attempt,
                not_before=not_before,
                failures=json.dumps(list(failures)),
            )
        if done:
            job = self._forget(job_id)
            record = job.record.model_copy(
                update={"status": JobStatus.QUEUED, "failures": list(failures)}
            )
            self._queued(dataclasses.replace(job, record=record, runner=None), not_before)
        return bool(done)

    def notice(self, job_id: str, attempt: int, sentences: Sequence[str]) -> JobRecord | None:
        """Tell the user more of a running job; the job, or None if this attempt runs no more."""
        job = self._known.get(job_id) or self.get(job_id)
        notices = [*job.record.notices, *sentences]
        told = {"id": job_id, "attempt": attempt, "notices": json.dumps(notices)}
        with self._database.write() as transaction:
            if not transaction.change(_SQL["notice"], **told):
                return None
        record = job.record.model_copy(update={"notices": notices})
        with self._lock:
            self._known[job_id] = dataclasses.replace(job, record=record)
        return record

    def finish(
        self,
        job_id: str,
        attempt: int,
        status: JobStatus,
        error: Problem | None = None,
        failures: Sequence[str] = (),
        measured: Sequence[Measurement] = (),
    ) -> JobRecord | None:
        """End a running job without a result.

        Args:
            measured: what it took of the memory.

        Returns:
            The job, or None if this attempt does not run any more.
        """
        now = times.now()
        with self._database.write() as transaction:
            ended = transaction.change(
                _SQL["finish"],
                id=job_id,
                attempt=attempt,
                status=status,
                error=job_rows.problem_json(error),
                failures=json.dumps(list(failures)),
                now=now,
            )
            if ended:
                self._measurements.insert(transaction, measured)
        update = {"status": status, "error": error, "failures": list(failures)}
        return self._ended(job_id, now, update) if ended else None

    def succeed(
        self,
        job_id: str,
        attempt: int,
        made: Sequence[NewImage],
        matched: bool | None = None,
        result: dict[str, JsonValue] | None = None,
        measured: Sequence[Measurement] = (),
    ) -> JobRecord | None:
        """Record a running job's result and its success, together or not at all.

        Args:
            made: its pictures.
            matched: as in `JobRecord`.
            result: what came of a job that makes no pictures.
            measured: what it took of the memory.

        Returns:
            The job with its result, or None if this attempt does not run any more.
        """
        now = times.now()
        with self._database.write() as transaction:
            ended = transaction.change(
                _SQL["succeed"],
                id=job_id,
                attempt=attempt,
                matched=matched,
                result=None if result is None else canonical_json(result),
                now=now,
            )
            recorded = self._images.insert(transaction, made) if ended else []
            if ended:
                # In the same commit, which is most of what a few rows cost.
                self._measurements.insert(transaction, measured)
        update = {
            "status": JobStatus.SUCCEEDED,
            "matched": matched,
            "images": recorded,
            "result": result,
        }
        return self._ended(job_id, now, update) if ended else None

    def cancel_queued(self, job_id: str, error: Problem | None = None) -> JobRecord | None:
        """Cancel a job that waits; None if it does not."""
        full, now = parts.full_id(job_id), times.now()
        if full is None:
            return None
        with self._database.write() as transaction:
            cancelled = transaction.change(
                _SQL["cancel_queued"], id=full, error=job_rows.problem_json(error), now=now
            )
        if not cancelled:
            return None
        with self._lock:
            self._waiting.remove(full)
        return self._ended(full, now, {"status": JobStatus.CANCELLED, "error": error})

    def interrupted(self) -> Sequence[StoredJob]:
        """Jobs that run, oldest first: at the start, what an earlier orchestrator left behind."""
        return [job_rows.to_job(row, []) for row in self._database.read(_SQL["running"])]

    def waiting(self) -> int:
        """How many jobs wait; from memory."""
        return len(self._waiting)

    def pixels_waiting(self) -> int:
        """Pixels of all pictures that waiting jobs are to make; from memory."""
        with self._lock:
            return self._waiting.pixels()

    def next_up(self, kinds: Collection[str] | None = None) -> Entry | None:
        """The job of these kinds that `claim` would take now; from memory."""
        with self._lock:
            return self._waiting.next(kinds, times.now())

    def position(self, job_id: str) -> int | None:
        """How many waiting jobs come before this one on what runs it; None if it does not wait."""
        with self._lock:
            return self._waiting.ahead(job_id)

    def next_due_s(self, kinds: Collection[str] | None = None) -> float | None:
        """Seconds until a job of these kinds can be claimed; None if none waits. From memory."""
        now = times.now()
        with self._lock:
            due = self._waiting.next_due(kinds, now)
        return None if due is None else max(0.0, (due - now).total_seconds())

    def prune(self, ended_before: datetime, limit: int) -> int:
        """Delete internal jobs that ended before then, the oldest first; how many.

        Jobs of users stay, and so do those that made pictures or whose result another job has.

        Args:
            limit: at most so many at once, so that nobody waits long for the writer.
        """
        before = times.to_db(ended_before)
        with self._database.write() as transaction:
            return transaction.change(_SQL["prune"], before=before, limit=limit)

    def _queued(self, job: StoredJob, not_before: datetime | None = None) -> None:
        with self._lock:
            if len(self._known) < _KNOWN:
                self._known[job.record.id] = job
            self._waiting.put(job_rows.to_entry(job, not_before))

    def _running(self, job_id: str, runner: str | None, now: datetime) -> StoredJob:
        job = self._known.get(job_id)
        if job is None:
            job = self.get(job_id)
        else:
            job = dataclasses.replace(job, record=job_rows.begun(job.record, now), runner=runner)
        with self._lock:
            self._known[job_id] = job
        return job

    def _ended(self, job_id: str, now: datetime, update: Mapping[str, object]) -> JobRecord:
        ended = {**update, "finished_at": times.from_db(now)}
        return self._forget(job_id).record.model_copy(update=ended)

    def _forget(self, job_id: str) -> StoredJob:
        """A job that leaves memory: as it was known there, or as the table has it."""
        with self._lock:
            job = self._known.pop(job_id, None)
        return job or self.get(job_id)
