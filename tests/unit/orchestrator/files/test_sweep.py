"""Deleting, sweeping, pruning, and the doctor after a crash in the middle of any of them."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from mysticanvas.contracts import ids, thumbnails as where
from mysticanvas.contracts.images import ImageChanges
from mysticanvas.contracts.prune import PruneReport, PruneRequest
from mysticanvas.errors import InvalidRequest, NotFound, StoreError, StoreFull
from mysticanvas.orchestrator import quota
from mysticanvas.orchestrator.doctor import Home, examine
from mysticanvas.orchestrator.files import deleting, sweep, upkeep
from mysticanvas.orchestrator.files.prune import prune
from mysticanvas.orchestrator.files.thumbnails import Thumbnails
from mysticanvas.settings import HomePaths, Settings
from mysticanvas.store import NewImage, Store, tombstones
from mysticanvas.store.filters import Clause
from mysticanvas.store.rebuild import rebuild

Add = Callable[..., NewImage]


def files_of(paths: HomePaths, image: NewImage) -> list[Path]:
    names = [image.file.path, where.path(image.id, 256), where.path(image.id, 512)]
    return [paths.root / name for name in names]


def there(paths: HomePaths, image: NewImage) -> list[bool]:
    return [path.exists() for path in files_of(paths, image)]


def total(store: Store) -> int:
    return store.images.count()


def test_a_deleted_picture_is_hidden_at_once_and_swept_after_its_grace(
    store: Store, paths: HomePaths, thumbnails: Thumbnails, add: Add, context: Any
) -> None:
    kept, gone = add(), add()
    upkeep.run(store, paths, thumbnails, 7, context)
    deleting.delete(store, paths.images, gone.id)
    deleting.delete(store, paths.images, gone.id)
    assert total(store) == 1

    assert upkeep.run(store, paths, thumbnails, 7, context)["swept"] == 0
    assert there(paths, gone) == [True] * 3
    assert upkeep.run(store, paths, thumbnails, 0, context)["swept"] == 1
    assert there(paths, gone) == [False] * 3
    assert there(paths, kept) == [True] * 3
    assert store.files.usage() == sum(path.stat().st_size for path in files_of(paths, kept))
    assert tombstones.read(paths.images) == set()


def test_one_that_is_deleted_while_the_list_is_written_is_on_it(
    store: Store, paths: HomePaths, add: Add, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, stale = add(), add()
    tombstones.add(paths.images, [stale.id])
    known = store.files.deleted_and_there
    deletion = threading.Thread(target=deleting.delete, args=(store, paths.images, late.id))

    def there() -> set[str]:
        found = known()
        deletion.start()
        deletion.join(0.5)
        return found

    monkeypatch.setattr(store.files, "deleted_and_there", there)
    sweep.run(store, paths, datetime.now(UTC), context)
    deletion.join()
    assert tombstones.read(paths.images) == {late.id}


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


def test_a_deletion_that_the_store_does_not_know_stays_on_the_list(
    store: Store, paths: HomePaths, context: Any
) -> None:
    """Its file would be taken for a new picture; whatever a crash left of an id is no such."""
    unknown = ids.new_id()
    tombstones.add(paths.images, [unknown, unknown[:20]])
    sweep.run(store, paths, datetime.now(UTC), context)
    assert tombstones.read(paths.images) == {unknown}


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


def test_a_swept_store_opens_again(paths: HomePaths, add: Add, store: Store, context: Any) -> None:
    image = add()
    store.images.delete([image.id])
    sweep.run(store, paths, datetime.now(UTC), context)
    store.close()
    with Store.open(paths) as again:
        assert again.images.known([image.id]) == {image.id}


def test_a_file_that_another_picture_was_made_from_stays(
    store: Store, paths: HomePaths, add: Add, context: Any
) -> None:
    parent, child = add(), add()
    with store.database.write() as transaction:
        transaction.run(
            """
            INSERT INTO generation_files
            SELECT 2, $child, 'init', 0, path, sha256, bytes, width, height, created_at
            FROM generation_files WHERE image_seq = 1
            """,
            child=child.id,
        )
    store.images.delete([parent.id])
    sweep.run(store, paths, datetime.now(UTC), context)
    assert (paths.root / parent.file.path).is_file()
    assert tombstones.read(paths.images) == {parent.id}
    store.images.delete([child.id])
    sweep.run(store, paths, datetime.now(UTC), context)
    assert not (paths.root / parent.file.path).exists()
    assert not (paths.root / child.file.path).exists()
    assert tombstones.read(paths.images) == set()


def test_a_path_that_leads_out_of_the_home_is_left_alone(
    store: Store, paths: HomePaths, add: Add, context: Any, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.png"
    outside.write_text("mine")
    add()
    for path in ("../outside.png", str(outside)):
        with store.database.write() as transaction:
            transaction.run("INSERT INTO doomed_files VALUES ($path)", path=path)
    sweep.run(store, paths, datetime.now(UTC), context)
    assert outside.exists()
    assert store.files.doomed(10) == []


def doom(store: Store, *paths: str) -> None:
    for path in paths:
        with store.database.write() as transaction:
            transaction.run("INSERT INTO doomed_files VALUES ($path)", path=path)


def test_files_that_cannot_be_removed_keep_no_others(
    store: Store, paths: HomePaths, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "BATCH", 2)
    stuck = [f"images/{number}" for number in range(5)]
    for name in stuck:
        (paths.root / name / "full").mkdir(parents=True)
    (paths.root / "images/last").touch()
    doom(store, *stuck, "images/last", "images/0-gone")
    sweep.run(store, paths, datetime.now(UTC), context)
    assert not (paths.root / "images/last").exists()
    assert store.files.doomed(10) == stuck


def test_each_file_that_cannot_be_removed_is_tried_once_and_all_are_told_in_one_line(
    store: Store, paths: HomePaths, add: Add, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "BATCH", 2)
    before = [f"images/{number}" for number in range(3)]
    doom(store, *before)
    stuck = [*before, *(add().file.path for _ in range(7))]
    store.images.delete([image.id for image in store.images.page().items])
    tried = []

    def refuse(path: Path, missing_ok: bool = False) -> None:
        tried.append(path.relative_to(paths.root).as_posix())
        raise PermissionError(errno.EACCES, "Read-only", str(path))

    with monkeypatch.context() as patch, structlog.testing.capture_logs() as lines:
        patch.setattr(Path, "unlink", refuse)
        sweep.run(store, paths, datetime.now(UTC), context)
    assert sorted(tried) == sorted(stuck)
    assert store.files.doomed(100) == sorted(stuck)
    [line] = lines
    assert (line["event"], line["count"]) == ("files_not_removed", len(stuck))
    assert list(line["first"]) == before


def test_in_a_home_that_was_made_again_no_file_is_touched(
    store: Store, paths: HomePaths, add: Add, context: Any
) -> None:
    image = add()
    deleting.delete(store, paths.images, image.id)
    doom(store, "images/theirs")
    shutil.rmtree(paths.root)
    paths.create()
    (paths.root / "images/theirs").touch()
    tombstones.add(paths.images, [image.id])
    for touch in (
        lambda: sweep.finish(store, paths.root),
        lambda: sweep.run(store, paths, datetime.now(UTC) - timedelta(days=7), context),
        lambda: deleting.restore(store, paths.images, image.id),
    ):
        with pytest.raises(StoreError, match="was deleted while it was in use"):
            touch()
    assert (paths.root / "images/theirs").exists()
    assert tombstones.read(paths.images) == {image.id}


def test_the_list_of_the_deleted_in_a_home_that_was_made_again_is_left_alone(
    store: Store, paths: HomePaths, context: Any
) -> None:
    shutil.rmtree(paths.root)
    paths.create()
    tombstones.add(paths.images, [ids.new_id()])
    before = tombstones.read(paths.images)
    with pytest.raises(StoreError, match="was deleted while it was in use"):
        sweep.run(store, paths, datetime.now(UTC), context)
    assert tombstones.read(paths.images) == before


STEPS = [
    "sweep:marked", "sweep:doomed", "sweep:one file", "sweep:all files", "sweep:forgotten",
    "sweep:listed", "make:files made", "make:rows made", "make:failures",
]  # fmt: skip


@pytest.mark.fault("SIGKILL at a step of a sweep", "the doctor mends it")
@pytest.mark.parametrize("step", STEPS)
def test_after_a_kill_at_any_step_the_doctor_mends_everything(
    paths: HomePaths, store: Store, thumbnails: Thumbnails, add: Add, context: Any, step: str
) -> None:
    old = [add() for _ in range(3)]
    upkeep.run(store, paths, thumbnails, 0, context)
    store.images.delete([image.id for image in old[:2]])
    new = [add() for _ in range(3)]
    (paths.root / add(content=b"no picture").file.path)
    store.close()

    command = [sys.executable, str(Path(__file__).with_name("sweep_until.py"))]
    ended = subprocess.run([*command, str(paths.root), step], check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL

    settings = Settings.load({}, home=paths.root)
    with Store.open(paths) as again:
        home = Home(paths, settings, again, running=False)
        mended = examine(home, repair=True)
        clean = examine(home, repair=False)
        assert mended.well
        assert {finding.state for finding in clean.findings} <= {"ok", "warning"}
        # Whatever is there is complete, and what is gone is gone wholly.
        deleted = [image for image in (*old, *new) if not again.files.named([image.file.path])]
        for image in deleted:
            assert there(paths, image) == [False] * 3
        for image in (*old[2:], *new[:2]):
            assert (paths.root / image.file.path).is_file()
        assert again.database.read("SELECT count(*) AS n FROM images")[0]["n"] == 7


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


@pytest.mark.parametrize(
    ("used", "promised", "more", "quota_mib", "fits"),
    [
        (0, 0, 1, None, True), (0, 0, 1 << 20, 1, True), (1, 0, 1 << 20, 1, False),
        (5 << 20, 0, 0, 4, False), (0, 1 << 20, 1 << 20, 2, True), (0, 1 << 20, 1 << 20, 1, False),
    ],
)  # fmt: skip
def test_the_quota(used: int, promised: int, more: int, quota_mib: int | None, fits: bool) -> None:
    if fits:
        quota.check(used, promised, more, quota_mib)
        return
    said = "may add 1.0 MiB.*" if promised else ""
    with pytest.raises(StoreFull, match=f"{said}quota of {quota_mib} MiB.*prune"):
        quota.check(used, promised, more, quota_mib)


def test_a_file_that_cannot_be_removed_now_is_removed_later(
    store: Store, paths: HomePaths, add: Add, context: Any
) -> None:
    image = add()
    path = paths.root / image.file.path
    path.unlink()
    path.mkdir()
    store.images.delete([image.id])
    sweep.run(store, paths, datetime.now(UTC), context)
    assert store.files.doomed(10) == [image.file.path]
    assert tombstones.read(paths.images) == {image.id}
    path.rmdir()
    sweep.run(store, paths, datetime.now(UTC), context)
    assert store.files.doomed(10) == []
    assert tombstones.read(paths.images) == set()
