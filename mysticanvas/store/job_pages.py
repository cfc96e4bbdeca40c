"""Pages of jobs, newest first, and the pictures that they made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mysticanvas.contracts.images import ImageRecord
from mysticanvas.contracts.jobs import WORKER_KINDS, JobPage, JobStatus
from mysticanvas.contracts.refusal import refused
from mysticanvas.store import job_rows, queries
from mysticanvas.store.connection import Database, Row
from mysticanvas.store.cursors import Cursors
from mysticanvas.store.images import Images

MAX_PAGE = 1000
_CURSORS = Cursors("jobs", "q")
_SQL = queries.load("jobs")
_TOP = 2**63 - 1


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
    return JobPage(
        items=[
            job_rows.to_record(row, of_job)
            for row, of_job in zip(shown, made(images, shown), strict=True)
        ],
        next_cursor=_CURSORS.encode((shown[-1]["seq"],), bound) if more else None,
        total=total,
    )


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
