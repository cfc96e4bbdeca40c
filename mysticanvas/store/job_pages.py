"""Pages of jobs, newest first, with the pictures that they made; and the jobs that wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mysticanvas.contracts.base import SHOWN_CHARS
from mysticanvas.contracts.images import ImageRecord
from mysticanvas.contracts.jobs import WORKER_KINDS, JobPage, JobStatus
from mysticanvas.contracts.refusal import refused
from mysticanvas.store import job_rows, queries
from mysticanvas.store.connection import Database, Row
from mysticanvas.store.cursors import Cursors
from mysticanvas.store.images import Images
from mysticanvas.store.waiting import Entry

MAX_PAGE = 1000
_CURSORS = Cursors("jobs", "q")
_SQL = queries.load("jobs")
_TOP = 2**63 - 1
_TASKS_AT_ONCE = 128
"""Of tasks that two prompts of 20,000 characters can make 160 KB long, and several times that once
they are parsed."""


def waiting(database: Database) -> Iterator[Entry]:
    """The jobs that wait, oldest first. All of their tasks at once may not fit into the database's
    memory, and a home has to open however long its queue."""
    queued = [row["seq"] for row in database.read(_SQL["queued"])]
    for place in range(0, len(queued), _TASKS_AT_ONCE):
        part = queued[place : place + _TASKS_AT_ONCE]
        for row in database.read(_SQL["waiting"], first=part[0], last=part[-1]):
            yield Entry(**row)


def find(
    database: Database,
    images: Images,
    limit: int,
    cursor: str | None,
    filters: Mapping[str, str | None],
    internal: bool,
) -> JobPage:
    """See `Jobs.page`.

    Args:
        filters: status, kind and project, None for all.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise refused("limit", limit, f"1 to {MAX_PAGE}")
    bound = {**filters, "internal": "all" if internal else None}
    before = _TOP if cursor is None else _CURSORS.decode(cursor, bound)[0]
    where = {**filters, "internal": internal}
    total = database.read(_SQL["total"], **where)[0]["total"]
    rows = database.read(_SQL["page"], before=before, limit=limit + 1, **where)
    shown = rows[:limit]
    more = len(rows) > limit
    pictures = made(images, shown)
    prompts = _prompts(
        database, [row["seq"] for row, of_job in zip(shown, pictures, strict=True) if not of_job]
    )
    return JobPage(
        items=[
            job_rows.to_record(row, of_job, prompts.get(row["seq"], ""))
            for row, of_job in zip(shown, pictures, strict=True)
        ],
        next_cursor=_CURSORS.encode((shown[-1]["seq"],), bound) if more else None,
        total=total,
    )


def _prompts(database: Database, seqs: Sequence[int]) -> dict[int, str]:
    """The beginnings of the prompts of jobs, by their places."""
    return {
        row["seq"]: row["prompt"]
        for start in range(0, len(seqs), _TASKS_AT_ONCE)
        for row in database.read(
            _SQL["prompts"],
            seqs=seqs[start : start + _TASKS_AT_ONCE],
            # Of one that is longer, it can be told.
            chars=SHOWN_CHARS + 1,
        )
    }


def made(images: Images, rows: Sequence[Row]) -> list[list[ImageRecord]]:
    """The pictures that are the result of each job."""
    sources = [str(row["result_of"] or row["id"]) for row in rows]
    succeeded = [
        source
        for row, source in zip(rows, sources, strict=True)
        if row["status"] == JobStatus.SUCCEEDED and row["kind"] in WORKER_KINDS
    ]
    found = images.of_jobs(succeeded)
    return [found.get(source, []) for source in sources]
