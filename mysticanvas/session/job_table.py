"""Jobs as rows of a table, which tell one from another."""

from __future__ import annotations

from collections.abc import Iterable

from mysticanvas.contracts.ids import short
from mysticanvas.contracts.jobs import WORKER_KINDS, JobRecord, JobStatus
from mysticanvas.session import table

_COLUMNS = ("job", "kind", "status", "asked for (UTC)", "prompt", "outcome")


def of(records: Iterable[JobRecord]) -> str:
    """The table, as HTML."""
    return table.of(_COLUMNS, map(_cells, records), none="no jobs yet")


def _cells(record: JobRecord) -> tuple[str, ...]:
    return (
        short(record.id),
        record.kind,
        _state(record),
        f"{record.created_at:%Y-%m-%d %H:%M}",
        record.prompt,
        _outcome(record),
    )


def _state(record: JobRecord) -> str:
    """Where it is and how far, with what is unusual about it."""
    said = [str(record.status)]
    if record.status is JobStatus.RUNNING and record.progress is not None:
        said[0] += f" {record.progress.fraction:.0%}"
    if record.status is JobStatus.QUEUED and record.paused:
        said.append("paused")
    elif record.status is JobStatus.QUEUED and record.position:
        said.append(f"{record.position} before it")
    if record.attempts > 1:
        said.append(f"attempt {record.attempts}")
    if record.priority == "background" and record.kind in WORKER_KINDS and not record.status.final:
        said.append("in the background")
    return ", ".join(said)


def _outcome(record: JobRecord) -> str:
    """Why it failed, or what it made."""
    if record.error is not None:
        return record.error.detail
    images = record.images
    return short(images[0].id) if len(images) == 1 else f"{len(images)} pictures" if images else ""
