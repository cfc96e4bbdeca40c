"""Removing many pictures at once, files and all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from mysticanvas.contracts.filters import ImageFilters
from mysticanvas.contracts.prune import PruneReport, PruneRequest
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.files import deleting, sweep
from mysticanvas.store import Store, filters
from mysticanvas.store.files import Usage
from mysticanvas.store.filters import Clause

_BATCH = 10_000


class _Unasked:
    """Prune is asked for and waited for: nothing overtakes it and nobody follows it."""

    def check(self) -> None:
        """Never to end early."""

    def progress(self, fraction: float, stage: str) -> None:
        """Nobody looks."""


def prune(store: Store, paths: HomePaths, request: PruneRequest) -> PruneReport:
    """Delete what meets the conditions, and remove the files of everything that is deleted,
    without the grace that deleting a single picture gives.

    Killed in the middle, it has deleted some pictures wholly and the others not at all; what files
    are left of the former, the next sweep removes.
    """
    before = store.files.usage_of_deleted()
    clause = _meant(request)
    ids, size = ([], 0) if clause is None else store.files.matching(clause)
    matching = Usage(len(ids), size)
    if not request.dry_run:
        if clause is not None:
            matching = _delete(store, paths, ids, clause)
        sweep.run(store, paths, datetime.now(UTC), _Unasked())
    return _report(request, matching, before)


def _delete(store: Store, paths: HomePaths, ids: Sequence[str], clause: Clause) -> Usage:
    """Delete those that still meet the conditions: one may have got a star since it was found."""
    images = size = 0
    for start in range(0, len(ids), _BATCH):
        gone = deleting.bury(store, paths.images, ids[start : start + _BATCH], clause)
        images, size = images + len(gone), size + store.files.bytes_of(gone)
    return Usage(images, size)


def _meant(request: PruneRequest) -> Clause | None:
    """The conditions; None if there is none, which means no picture rather than all."""
    conditions = (request.until, request.unstarred or None, request.project, request.preset)
    if all(condition is None for condition in conditions):
        return None
    wanted = ImageFilters(
        until=request.until,
        starred=False if request.unstarred else None,
        project=request.project,
        preset=request.preset,
    )
    return filters.where(wanted, lambda names: [None] * len(names))


def _report(request: PruneRequest, matching: Usage, deleted: Usage) -> PruneReport:
    return PruneReport(
        images=matching.images,
        bytes=matching.bytes,
        deleted_images=deleted.images,
        deleted_bytes=deleted.bytes,
        dry_run=request.dry_run,
    )
