"""What the jobs of the kinds `index` and `backup` do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

from pydantic import JsonValue

from mysticanvas.contracts.alerts import Alert
from mysticanvas.errors import StoreError
from mysticanvas.orchestrator.queue.context import JobContext
from mysticanvas.store import Store


def index(store: Store, context: JobContext) -> dict[str, JsonValue]:
    """Bring the search index up to the pictures, in short steps.

    Returns:
        `steps`: how many were taken.

    Raises:
        JobCancelled: it was to end; the steps that were taken stay.
        StoreError: a step failed; the index is as it was before it.
    """
    steps = 0
    while store.search.behind():
        context.check()
        store.search.maintain()
        steps += 1
    return {"steps": steps}


class DailyBackup:
    """The job of kind `backup`.

    Args:
        store: what is kept.
        tell: tells an alert.
    """

    def __init__(self, store: Store, tell: Callable[[Alert], None]) -> None:
        self._store = store
        self._tell = tell
        self._told_on: date | None = None

    def run(self, context: JobContext) -> dict[str, JsonValue]:
        """Make the backup of the day if there is none yet; that it fails is told once a day.

        Returns:
            `path`: the backup; None if there was one.

        Raises:
            JobCancelled: it was to end; nothing is left of it.
            StoreError: it could not be made.
        """
        now = datetime.now(UTC)
        try:
            made = self._store.backups.if_due(now, context.check)
        except StoreError as error:
            if self._told_on != now.date():
                self._told_on = now.date()
                self._tell(_failed(error, now))
            raise
        return {"path": None if made is None else str(made)}


def _failed(error: StoreError, at: datetime) -> Alert:
    return Alert(
        kind="backup_failed",
        severity="warning",
        message=f"The backup of the day could not be made: {error} It is tried again every hour; "
        "`mysticanvas backup FILE` makes one elsewhere.",
        at=at,
    )
