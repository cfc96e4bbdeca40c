"""Removing many pictures at once, files and all."""

from __future__ import annotations

from datetime import UTC, datetime

from mysticanvas.contracts.filters import ImageFilters
from mysticanvas.contracts.prune import PruneReport, PruneRequest
from mysticanvas.orchestrator.files import sweep
from mysticanvas.settings import HomePaths
from mysticanvas.store import Store, filters, tombstones
from mysticanvas.store.files import Usage

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
    ids, size = _matching(store, request)
    if not request.dry_run:
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            store.images.delete(batch)
            tombstones.add(paths.images, batch)
        sweep.run(store, paths, datetime.now(UTC), _Unasked())
    return _report(request, Usage(len(ids), size), before)


def _matching(store: Store, request: PruneRequest) -> tuple[list[str], int]:
    conditions = (request.until, request.unstarred or None, request.project, request.preset)
    if all(condition is None for condition in conditions):
        return [], 0
    wanted = ImageFilters(
        until=request.until,
        starred=False if request.unstarred else None,
        project=request.project,
        preset=request.preset,
    )
    return store.files.matching(filters.where(wanted, lambda names: [None] * len(names)))


def _report(request: PruneRequest, matching: Usage, deleted: Usage) -> PruneReport:
    return PruneReport(
        images=matching.images,
        bytes=matching.bytes,
        deleted_images=deleted.images,
        deleted_bytes=deleted.bytes,
        dry_run=request.dry_run,
    )
