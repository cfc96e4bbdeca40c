"""What the job of kind `thumbnails` does: a row for each run, not for each picture."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta

from pydantic import JsonValue

from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.files import sweep
from mysticanvas.orchestrator.files.thumbnails import Thumbnails
from mysticanvas.orchestrator.queue.context import JobContext
from mysticanvas.store import Store

WHOLE_S = 5 * 3600.0
"""Seconds after which a run looks through everything again; a little less than those after which
one comes though there is no new picture."""


class FileUpkeep:
    """The runs of a process: the first looks through everything, and then one does now and then.
    Those between look at what is new, since a picture after each pause must not cost a look at a
    million others.

    Args:
        store, paths, thumbnails, grace_days: as for `run`.
    """

    def __init__(
        self, store: Store, paths: HomePaths, thumbnails: Thumbnails, grace_days: float
    ) -> None:
        self._store = store
        self._paths = paths
        self._thumbnails = thumbnails
        self._grace_days = grace_days
        self._whole_at = -math.inf

    def run(self, context: JobContext) -> dict[str, JsonValue]:
        """One run: what `run` returns and raises."""
        now = time.monotonic()
        if now - self._whole_at < WHOLE_S:
            return {"swept": 0, **self._thumbnails.run(context, whole=False)}
        done = run(self._store, self._paths, self._thumbnails, self._grace_days, context)
        self._whole_at = now
        return done


def run(
    store: Store,
    paths: HomePaths,
    thumbnails: Thumbnails,
    grace_days: float,
    context: JobContext,
) -> dict[str, JsonValue]:
    """Bring all files and rows together: remove what is deleted for good, make what is missing.

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
