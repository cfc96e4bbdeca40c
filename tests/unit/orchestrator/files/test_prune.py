"""Prune removes what was asked for and what was deleted before, and no picture with a star."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from picture_files import Add, files_of, there, total

from mysticanvas.contracts.images import ImageChanges
from mysticanvas.contracts.prune import PruneReport, PruneRequest
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.files import deleting
from mysticanvas.orchestrator.files.prune import prune
from mysticanvas.orchestrator.files.thumbnails import Thumbnails
from mysticanvas.store import Store
from mysticanvas.store.filters import Clause


def test_prune_says_what_would_go_and_then_does_it(
    store: Store, paths: HomePaths, thumbnails: Thumbnails, add: Add, context: Any
) -> None:
    now = datetime.now(UTC)
    old = [add(created_at=now - timedelta(days=100 + k)) for k in range(3)]
    new = [add(created_at=now) for _ in range(2)]
    thumbnails.run(context)
    with store.database.write() as transaction:
        transaction.run("UPDATE images SET starred = TRUE WHERE id = $id", id=old[0].id)
    request = PruneRequest(until=now - timedelta(days=90), unstarred=True)
    size = sum(path.stat().st_size for image in old[1:] for path in files_of(paths, image))

    said = prune(store, paths, request)
    assert said == PruneReport(
        images=2, bytes=size, deleted_images=0, deleted_bytes=0, dry_run=True
    )
    assert total(store) == 5

    assert prune(store, paths, request.model_copy(update={"dry_run": False})).images == 2
    assert {image.id for image in store.images.page().items} == {
        image.id for image in (old[0], *new)
    }
    assert [there(paths, image) for image in old] == [[True] * 3, [False] * 3, [False] * 3]
    assert prune(store, paths, request).images == 0


def test_a_picture_that_gets_a_star_while_prune_begins_stays(
    store: Store, paths: HomePaths, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, starred = add(), add()
    matching = store.files.matching

    def found(clause: Clause) -> tuple[list[str], int]:
        before = matching(clause)
        store.images.change(starred.id, ImageChanges(starred=True))
        return before

    monkeypatch.setattr(store.files, "matching", found)
    report = prune(store, paths, PruneRequest(unstarred=True, dry_run=False))
    assert (report.images, report.bytes) == (1, gone.file.bytes)
    assert [image.id for image in store.images.page().items] == [starred.id]
    assert [there(paths, image)[0] for image in (gone, starred)] == [False, True]


def test_prune_without_a_condition_empties_what_was_deleted_before(
    store: Store, paths: HomePaths, add: Add
) -> None:
    kept, gone = add(), add()
    deleting.delete(store, paths.images, gone.id)
    size = gone.file.bytes
    report = prune(store, paths, PruneRequest(dry_run=False))
    assert (report.images, report.deleted_images, report.deleted_bytes) == (0, 1, size)
    assert not (paths.root / gone.file.path).exists()
    assert store.images.get(kept.id)
