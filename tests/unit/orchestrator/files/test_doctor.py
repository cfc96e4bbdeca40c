"""The doctor finds what is wrong, mends what it can, and loses nothing by it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from makers import Maker

from mysticanvas.contracts import ids, thumbnails as where
from mysticanvas.contracts.doctor import Finding
from mysticanvas.errors import StoreError
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator import doctor
from mysticanvas.orchestrator.doctor import CHECKS, Home, examine
from mysticanvas.orchestrator.files import deleting
from mysticanvas.orchestrator.files.thumbnails import Thumbnails
from mysticanvas.settings import Settings
from mysticanvas.store import NewImage, Store, tombstones
from mysticanvas.store.files import Files

Add = Callable[..., NewImage]


@pytest.fixture
def home(paths: HomePaths, store: Store) -> Home:
    settings = Settings.load({}, home=paths.root, min_free_mib=0)
    return Home(paths, settings, store, running=False)


def found(home: Home, repair: bool = False) -> dict[str, Finding]:
    """What is not in order, by name of the check."""
    return {each.check: each for each in examine(home, repair).findings if each.state != "ok"}


def test_a_home_in_order_has_nothing_to_mend(
    home: Home, add: Add, thumbnails: Thumbnails, context: Any
) -> None:
    assert found(home) == {}
    add()
    thumbnails.run(context)
    (home.paths.backups / "daily-2026-05-04.duckdb").touch()
    (home.paths.images / "notes.txt").write_text("mine")
    diagnosis = examine(home, repair=False)
    assert diagnosis.well
    assert [finding.check for finding in diagnosis.findings] == list(CHECKS)
    assert {finding.state for finding in diagnosis.findings} == {"ok"}


def test_folders_are_made_private_again(home: Home) -> None:
    home.paths.images.chmod(0o755)
    home.paths.thumbs.rmdir()
    assert found(home)["permissions"].examples == [str(home.paths.images), str(home.paths.thumbs)]
    assert found(home, repair=True)["permissions"].state == "repaired"
    assert found(home) == {}
    assert home.paths.images.stat().st_mode & 0o777 == 0o700


def test_a_full_disk_and_a_used_up_quota_are_problems(home: Home, add: Add) -> None:
    add()
    full = home._replace(settings=home.settings.model_copy(update={"min_free_mib": 2**40}))
    assert found(full)["disk"].state == "problem"
    with home.store.database.write() as transaction:
        transaction.run("UPDATE generation_files SET bytes = 2 * 1024 * 1024")
    used = home._replace(settings=home.settings.model_copy(update={"disk_quota_mib": 1}))
    assert "prune" in found(used)["disk"].hint


def test_backups_that_are_old_or_missing_are_said(home: Home, add: Add) -> None:
    add()
    (home.paths.backups / "crash-1.wal").touch()
    (home.paths.backups / "aside-1.duckdb").touch()
    assert found(home)["backups"].message == "There is no backup."
    backup = home.paths.backups / "daily-2026-05-04.duckdb"
    backup.touch()
    os.utime(backup, (0, 0))
    assert "days old" in found(home)["backups"].message
    assert examine(home, repair=False).well


def test_a_backup_is_not_old_while_nothing_is_changed(home: Home, store: Store, add: Add) -> None:
    add()
    backup = store.backups.if_due(datetime(2026, 5, 4, tzinfo=UTC))
    assert backup is not None
    os.utime(backup, (0, 0))
    assert "backups" not in found(home)
    add()
    assert "days old" in found(home)["backups"].message


def test_without_a_store_the_rest_is_looked_at(home: Home) -> None:
    broken = home._replace(store=None, store_error="The database is damaged.")
    assert found(broken)["store"].message == "The database is damaged."
    assert found(home._replace(store=None)) == {}


def test_a_picture_whose_file_is_gone_is_marked_as_deleted(home: Home, add: Add) -> None:
    kept, lost = add(), add()
    (home.paths.root / lost.file.path).unlink()
    assert found(home)["pictures without a file"].examples == [lost.id]
    assert home.store.images.count() == 2
    assert found(home, repair=True)["pictures without a file"].state == "repaired"
    assert [image.id for image in home.store.images.page().items] == [kept.id]
    assert found(home).keys() <= {"backups"}


def test_when_most_files_are_gone_nothing_is_touched(home: Home, add: Add) -> None:
    for _ in range(12):
        add()
    home.paths.images.rename(home.paths.root / "unmounted")
    home.paths.images.mkdir(mode=0o700)
    after = found(home, repair=True)["pictures without a file"]
    assert after.state == "problem"
    assert "mounted" in after.hint
    assert home.store.images.count() == 12


def test_a_picture_without_a_row_is_recorded_again(home: Home, add: Add) -> None:
    image = add()
    with home.store.database.write() as transaction:
        transaction.run("DELETE FROM generation_files")
        transaction.run("DELETE FROM images")
    assert found(home)["image files without a row"].examples == [image.file.path]
    assert home.store.images.count() == 0
    found(home, repair=True)
    assert home.store.images.get(image.id).file == image.file
    assert found(home).keys() <= {"backups"}


def test_a_file_that_is_just_being_made_belongs_to_its_job(home: Home, add: Add) -> None:
    add()
    with home.store.database.write() as transaction:
        transaction.run("DELETE FROM generation_files")
        transaction.run("DELETE FROM images")
    temporary = home.paths.thumbs / "x.webp.1.tmp"
    temporary.touch()
    assert found(home._replace(running=True), repair=True) == {}
    assert temporary.exists()
    assert home.store.images.count() == 0


def test_files_of_deleted_pictures_and_second_files_are_removed(
    home: Home, add: Add, tmp_path: Path
) -> None:
    kept, gone = add(), add()
    path = home.paths.root / gone.file.path
    content = path.read_bytes()
    deleting.delete(home.store, home.paths.images, gone.id)
    home.store.files.doom([2])
    second = home.paths.images / "second.png"
    second.write_bytes((home.paths.root / kept.file.path).read_bytes())
    found(home, repair=True)
    path.write_bytes(content)

    assert found(home)["image files without a row"].examples == [gone.file.path]
    found(home, repair=True)
    assert not path.exists()
    assert not second.exists()
    assert (home.paths.root / kept.file.path).exists()
    assert home.store.images.count() == 1


def test_foreign_and_damaged_files_are_left_alone(home: Home, add: Add) -> None:
    add()
    (home.paths.images / "holiday.png").write_text("not a picture")
    os.mkfifo(home.paths.images / "pipe.png")
    after = found(home, repair=True)["image files without a row"]
    assert after.state == "warning"
    assert after.examples == ["images/holiday.png", "images/pipe.png"]
    assert (home.paths.images / "holiday.png").exists()


def test_only_files_that_no_row_seems_to_name_are_looked_up(
    home: Home, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []

    def named(files: Files, paths: Sequence[str]) -> set[str]:
        looked_up.extend(paths)
        return looked_up_really(files, paths)

    looked_up_really = Files.named
    monkeypatch.setattr(Files, "named", named)
    image, deleted = add(), add()
    home.store.images.delete([deleted.id])
    (home.paths.images / "second.png").write_bytes((home.paths.root / image.file.path).read_bytes())
    assert found(home)["image files without a row"].examples == ["images/second.png"]
    assert looked_up == ["images/second.png"]


def test_a_picture_that_is_recorded_while_the_folder_is_walked_is_no_stray(
    home: Home, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    add()
    monkeypatch.setattr(Files, "paths", lambda _: iter(()))
    assert "image files without a row" not in found(home)


def test_thumbnails_and_their_rows_are_brought_together(
    home: Home, add: Add, thumbnails: Thumbnails, context: Any
) -> None:
    image, other = add(), add()
    thumbnails.run(context)
    (home.paths.root / where.path(image.id, 256)).unlink()
    stray = home.paths.root / where.path(image.job_id, 512)
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"x")
    left = stray.with_suffix(".webp.7.tmp")
    left.touch()
    names = {"thumbnail rows without a file", "thumbnail files without a row", "unfinished files"}
    assert names <= found(home).keys()
    assert names <= found(home, repair=True).keys()
    assert found(home).keys() <= {"backups"}
    assert not stray.exists()
    assert not left.exists()
    assert thumbnails.run(context) == {"made": 1, "failed": 0, "unread": 0}
    assert (home.paths.root / where.path(other.id, 512)).exists()


def test_a_picture_without_thumbnails_is_tried_again_once_repaired(
    home: Home, add: Add, thumbnails: Thumbnails, context: Any
) -> None:
    image = add()
    path = home.paths.root / image.file.path
    content = path.read_bytes()
    path.write_bytes(b"no picture")
    assert thumbnails.run(context)["failed"] == 1
    assert image.id in found(home)["thumbnails"].examples[0]
    path.write_bytes(content)
    found(home, repair=True)
    assert thumbnails.run(context) == {"made": 1, "failed": 0, "unread": 0}


def test_the_list_of_deleted_pictures_is_made_complete(home: Home, add: Add) -> None:
    image = add()
    home.store.images.delete([image.id])
    assert found(home)["deletions"].examples == [image.id]
    found(home, repair=True)
    assert tombstones.read(home.paths.images) == {image.id}


def test_the_list_is_left_alone_until_a_restored_store_was_brought_up_to_it(
    home: Home, add: Add
) -> None:
    """What the backup has as deleted may have been brought back since."""
    home.store.images.delete([add().id])
    home.paths.rebuild_demand.touch()
    assert "deletions" not in found(home, repair=True)
    assert tombstones.read(home.paths.images) == set()


def test_a_deleted_picture_that_the_store_does_not_know_is_recorded_as_deleted(
    home: Home, add: Add
) -> None:
    """It has its grace then, and goes with the next sweep behind that."""
    maker = Maker()
    kept, gone = add(), maker.png(home.paths, maker.image(ids.new_id()))
    tombstones.add(home.paths.images, [gone.id])
    after = found(home, repair=True)["image files without a row"]
    assert "1 pictures were recorded (1 of them as deleted), 0 files" in after.message
    assert [image.id for image in home.store.images.page().items] == [kept.id]
    assert home.store.files.deleted_and_there() == {gone.id}


def test_a_check_that_fails_is_a_finding(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreError("The disk is on fire.")

    monkeypatch.setitem(doctor.CHECKS, "store", fail)
    diagnosis = examine(home, repair=False)
    assert not diagnosis.well
    assert len(diagnosis.findings) == len(CHECKS)
