"""Times in the database are UTC without a zone; in Python they always carry one."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The present, as the database keeps it."""
    return to_db(datetime.now(UTC))


def to_db(moment: datetime) -> datetime:
    """UTC without a zone; a moment that names no zone is taken as UTC."""
    if moment.tzinfo is None:
        return moment
    return moment.astimezone(UTC).replace(tzinfo=None)


def from_db(moment: datetime) -> datetime:
    """The same moment with its zone."""
    return moment.replace(tzinfo=UTC)
