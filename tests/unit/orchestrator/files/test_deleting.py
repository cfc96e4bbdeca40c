"""A deleted picture is hidden, listed beside the pictures, and can come back until it is swept."""

from __future__ import annotations

import errno
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from picture_files import Add, total

from mysticanvas.errors import InvalidRequest, NotFound, StoreError, StoreFull
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.files import deleting, sweep
from mysticanvas.store import Store, tombstones
from mysticanvas.store.rebuild import rebuild


def test_it_comes_back_until_it_is_swept(
    store: Store, paths: HomePaths, add: Add, context: Any
) -> None:
    image = add()
    deleting.delete(store, paths.images, image.id)
    deleting.restore(store, paths.images, image.id)
    deleting.restore(store, paths.images, image.id)
    assert store.images.get(image.id)
    assert tombstones.read(paths.images) == set()
    deleting.delete(store, paths.images, image.id)
    sweep.run(store, paths, datetime.now(UTC), context)
    with pytest.raises(NotFound, match="too long ago"):
        deleting.restore(store, paths.images, image.id)


@pytest.mark.parametrize("refusal", [errno.ENOSPC, errno.EACCES])
def test_a_deletion_that_could_not_be_listed_is_told_and_listed_when_asked_for_again(
    store: Store, paths: HomePaths, add: Add, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    image = add()

    def refuse(_: int) -> None:
        raise OSError(refusal, os.strerror(refusal))

    with monkeypatch.context() as patch:
        patch.setattr(tombstones.os, "fsync", refuse)
        with pytest.raises(StoreError, match="could not be written") as caught:
            deleting.delete(store, paths.images, image.id)
        assert isinstance(caught.value, StoreFull) == (refusal == errno.ENOSPC)
    (paths.images / "deleted.txt").unlink()
    deleting.delete(store, paths.images, image.id)
    deleting.delete(store, paths.images, image.id)
    assert (paths.images / "deleted.txt").read_text().split() == [image.id]


def test_what_was_swept_is_not_listed_by_being_deleted_again(
    store: Store, paths: HomePaths, add: Add, context: Any
) -> None:
    image = add()
    deleting.delete(store, paths.images, image.id)
    sweep.run(store, paths, datetime.now(UTC), context)
    deleting.delete(store, paths.images, image.id)
    assert tombstones.read(paths.images) == set()


def test_a_picture_that_is_back_is_never_on_the_list(
    store: Store, paths: HomePaths, add: Add, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill while it is brought back leaves it deleted, and the next sweep lists it again; nobody
    changes the list in between."""
    image = add()
    deleting.delete(store, paths.images, image.id)
    listed, free = list[set[str]](), list[bool]()

    def killed(_: object) -> None:
        listed.append(tombstones.read(paths.images))
        other = threading.Thread(
            target=lambda: free.append(tombstones.CHANGING.acquire(blocking=False))
        )
        other.start()
        other.join()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store.images, "restore", killed)
        with pytest.raises(KeyboardInterrupt):
            deleting.restore(store, paths.images, image.id)
    assert (listed, free) == ([set()], [False])
    assert total(store) == 0
    sweep.run(store, paths, datetime.now(UTC) - timedelta(days=7), context)
    assert tombstones.read(paths.images) == {image.id}


def test_what_was_never_there_cannot_be_deleted(store: Store, paths: HomePaths, add: Add) -> None:
    image = add()
    with pytest.raises(NotFound):
        deleting.delete(store, paths.images, image.job_id)
    with pytest.raises(InvalidRequest):
        deleting.delete(store, paths.images, image.id[-8:])
    assert total(store) == 1


def test_search_hears_of_it(store: Store, paths: HomePaths, add: Add) -> None:
    image = add()
    deleting.delete(store, paths.images, image.id)
    stale = store.database.read("SELECT image_seq FROM search_stale")
    assert [row["image_seq"] for row in stale] == [1]


def test_a_deleted_picture_is_not_built_again_from_its_file(
    store: Store, paths: HomePaths, add: Add, tmp_path: Path
) -> None:
    """Neither in its own store nor in a new one, when the database is lost."""
    kept, gone = add(), add()
    deleting.delete(store, paths.images, gone.id)
    assert rebuild(store, paths.images, paths.root).added == 0
    assert total(store) == 1
    with Store.open(HomePaths.of(tmp_path / "new")) as fresh:
        rebuild(fresh, paths.images, paths.root)
        assert [image.id for image in fresh.images.page().items] == [kept.id]
