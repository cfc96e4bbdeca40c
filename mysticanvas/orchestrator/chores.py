"""What the jobs of the kinds `index` and `backup` do."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import JsonValue

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


def backup(store: Store, context: JobContext) -> dict[str, JsonValue]:
    """Make the backup of the day if there is none yet.

    Returns:
        `path`: the backup; None if there was one.

    Raises:
        JobCancelled: it was to end; nothing is left of it.
        StoreError: it could not be made.
    """
    made = store.backups.if_due(datetime.now(UTC), context.check)
    return {"path": None if made is None else str(made)}
