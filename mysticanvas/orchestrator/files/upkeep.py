"""What the job of kind `thumbnails` does: a row for each run, not for each picture."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pydantic import JsonValue

from mysticanvas.orchestrator.files import sweep
from mysticanvas.orchestrator.files.thumbnails import Thumbnails
from mysticanvas.orchestrator.queue.context import JobContext
from mysticanvas.settings import HomePaths
from mysticanvas.store import Store


def run(
    store: Store,
    paths: HomePaths,
    thumbnails: Thumbnails,
    grace_days: float,
    context: JobContext,
) -> dict[str, JsonValue]:
    """Bring files and rows together: remove what is deleted for good, make what is missing.

    Args:
        grace_days: days that a deleted picture keeps its files.

    Returns:
        `swept`, and what `Thumbnails.run` returns: pictures.

    Raises:
        JobCancelled: it was to end; what was done is kept.
        StoreError: database or disk failed; the next run goes on from there.
    """
    before = datetime.now(UTC) - timedelta(days=grace_days)
    return {"swept": sweep.run(store, paths, before, context), **thumbnails.run(context)}
