"""A sweep removes the files of deleted pictures, and the doctor mends what a crash left of one."""

from __future__ import annotations

import errno
import shutil
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from picture_files import Add, files_of, there, total

from mysticanvas.contracts import ids
from mysticanvas.errors import StoreError
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.doctor import Home, examine
from mysticanvas.orchestrator.files import deleting, sweep, upkeep
from mysticanvas.orchestrator.files.thumbnails import Thumbnails
from mysticanvas.settings import Settings
from mysticanvas.store import Store, tombstones


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


def test_a_deletion_that_the_store_does_not_know_stays_on_the_list(
    store: Store, paths: HomePaths, context: Any
) -> None:
    """Its file would be taken for a new picture; whatever a crash left of an id is no such."""
    unknown = ids.new_id()
    tombstones.add(paths.images, [unknown, unknown[:20]])
    sweep.run(store, paths, datetime.now(UTC), context)
    assert tombstones.read(paths.images) == {unknown}


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
