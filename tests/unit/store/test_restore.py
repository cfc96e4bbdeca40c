"""A backup brought back: checked first, nothing overwritten, newer pictures found again."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mysticanvas import durable
from mysticanvas.errors import (
    InvalidRequest,
    NotFound,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreLocked,
)
from mysticanvas.home import HomePaths
from mysticanvas.store import Store, backups, rebuild, restore as restoring
from mysticanvas.store.restore import latest, restore, restore_from_images

Digests = Callable[[HomePaths], dict[str, str]]
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def record(store: Store, paths: HomePaths, maker: Any) -> str:
    """Record a picture with its file, as a job does; its id."""
    job = maker.added(store).record.id
    claimed = store.jobs.claim()
    assert claimed is not None
    image = maker.png(paths, maker.image(job))
    assert store.jobs.succeed(job, claimed.record.attempts, [image]) is not None
    return str(image.id)


def images(store: Store) -> list[str]:
    return [image.id for image in store.images.page(1000).items]


@pytest.fixture
def backup(paths: HomePaths, maker: Any, tmp_path: Path) -> Path:
    """A backup of a store with a picture; later the store got two more, and a job that waits."""
    file = tmp_path / "backup.duckdb"
    with Store.open(paths) as store:
        record(store, paths, maker)
        store.backups.save(file)
        record(store, paths, maker)
        record(store, paths, maker)
        maker.added(store)
    return file


def test_pictures_recorded_after_the_backup_are_found_again(paths: HomePaths, backup: Path) -> None:
    with Store.open(paths) as store:
        before = [store.images.get(each) for each in images(store)]
    present = paths.database.read_bytes()

    done = restore(paths, backup)

    assert (done.images.added, done.images.known, done.images.skipped) == (2, 1, [])
    assert done.aside is not None
    assert done.aside.read_bytes() == present
    assert backup.exists()
    with Store.open(paths) as store:
        assert [store.images.get(each.id).recipe for each in before] == [i.recipe for i in before]
        assert images(store) == [image.id for image in before]
        # Jobs are not in the image files: those after the backup are gone, as is documented.
        assert store.jobs.page().total == 1
    assert not list(paths.root.glob(".restore-*"))


def test_a_log_goes_aside_with_its_database(paths: HomePaths, backup: Path) -> None:
    paths.write_ahead_log.write_bytes(b"the log of a crash")
    done = restore(paths, backup)
    assert done.aside is not None
    log = done.aside.with_name(f"{done.aside.name}.wal")
    assert log.read_bytes() == b"the log of a crash"
    Store.open(paths).close()


def test_what_was_put_aside_can_be_brought_back(paths: HomePaths, backup: Path) -> None:
    aside = restore(paths, backup).aside
    assert aside is not None
    restore(paths, aside)
    with Store.open(paths) as store:
        assert len(images(store)) == 3
        assert store.jobs.page().total == 4


@pytest.mark.parametrize("damage", [b"", b"x", b"garbage" * 5000, None])
def test_a_bad_backup_is_refused_and_nothing_is_touched(
    paths: HomePaths, backup: Path, digests: Digests, damage: bytes | None
) -> None:
    if damage is None:
        os.truncate(backup, backup.stat().st_size // 2)
    else:
        backup.write_bytes(damage)
    before, names = digests(paths), sorted(paths.root.rglob("*"))
    with pytest.raises(StoreError) as caught:
        restore(paths, backup)
    assert caught.value.detail.startswith(f"{backup} ")
    assert digests(paths) == before
    assert sorted(paths.root.rglob("*")) == names
    Store.open(paths).close()


def test_a_backup_is_checked_while_the_store_is_open(
    paths: HomePaths, backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(paths) as store:
        restoring.check(paths, backup)
        with pytest.raises(NotFound, match="There is no backup"):
            restoring.check(paths, tmp_path / "nothing")
        with pytest.raises(InvalidRequest, match="not the database"):
            restoring.check(paths, paths.database)
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
            with pytest.raises(StoreFull):
                restoring.check(paths, backup)
        backup.write_bytes(b"garbage" * 5000)
        with pytest.raises(StoreDamaged):
            restoring.check(paths, backup)
        assert len(images(store)) == 3


def test_no_backup_and_a_store_in_use(paths: HomePaths, backup: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no backup"):
        restore(paths, tmp_path / "nothing")
    with Store.open(paths) as store:
        with pytest.raises(StoreLocked):
            restore(paths, backup)
        with pytest.raises(StoreLocked):
            restore_from_images(paths)
        assert len(images(store)) == 3


def test_the_newest_good_daily_backup_is_taken(paths: HomePaths, maker: Any) -> None:
    with Store.open(paths) as store:
        for day in range(3):
            record(store, paths, maker)
            store.backups.if_due(NOON + timedelta(days=day))
    newest = paths.backups / "daily-2026-11-24.duckdb"
    newest.write_bytes(newest.read_bytes()[:5000])
    paths.database.write_bytes(b"garbage" * 5000)
    with pytest.raises(StoreDamaged) as caught:
        Store.open(paths)
    assert f"`mysticanvas restore --latest --home '{paths.root}'`".replace("'", "") in (
        caught.value.hint.replace("'", "")
    )
    assert "2026-11-24" in caught.value.hint

    done = restore(paths, latest(paths))

    assert done.backup == paths.backups / "daily-2026-11-23.duckdb"
    assert (done.images.known, done.images.added) == (2, 1)
    with Store.open(paths) as store:
        assert len(images(store)) == 3


def test_a_backup_of_a_day_to_come_is_not_the_newest(paths: HomePaths, maker: Any) -> None:
    """A clock was wrong when it was made."""
    today = datetime.now(UTC)
    with Store.open(paths) as store:
        for days in (700, -1):
            record(store, paths, maker)
            store.backups.if_due(today + timedelta(days=days))
    yesterday = f"daily-{(today - timedelta(days=1)).date()}.duckdb"
    assert f"{paths.backups / yesterday})" in backups.advice(paths)
    assert restore(paths, latest(paths)).backup == paths.backups / yesterday


def test_without_a_backup_the_images_remain(paths: HomePaths, maker: Any) -> None:
    with Store.open(paths) as store:
        first = record(store, paths, maker)
    paths.database.write_bytes(b"garbage" * 5000)
    with pytest.raises(StoreDamaged, match="--from-images"):
        Store.open(paths)
    with pytest.raises(NotFound, match="no good daily backup"):
        restore(paths, latest(paths))

    done = restore_from_images(paths)

    assert done.aside is not None
    assert done.aside.read_bytes() == b"garbage" * 5000
    with Store.open(paths) as store:
        assert images(store) == [first]


def test_an_error_behind_the_exchange_says_where_the_database_is(
    paths: HomePaths, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object) -> None:
        raise StoreFull("The disk is full.", hint="Free some space.")

    with monkeypatch.context() as patch:
        patch.setattr(rebuild, "rebuild", fill)
        with pytest.raises(StoreFull) as caught:
            restore(paths, backup)
    [aside] = paths.backups.glob("aside-*.duckdb")
    assert caught.value.hint == f"Free some space. What was there is kept as {aside}."
    # Whoever opens it next goes on with the pictures.
    with Store.open(paths) as store:
        assert rebuild.if_demanded(store, paths) is not None
        assert len(images(store)) == 3


class Killed(BaseException):
    """Stands for a kill: nothing of ours catches it."""


def kill_at(fatal: int, monkeypatch: pytest.MonkeyPatch, bring_back: Callable[[], object]) -> None:
    """Restore, and be killed before the given call of those that change files."""
    calls = 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == fatal:
                raise Killed
            return call(*arguments, **named)

        return wrapper

    with monkeypatch.context() as patch:
        patch.setattr(Path, "touch", counted(Path.touch))
        patch.setattr(restoring, "_second_name", counted(restoring._second_name))
        patch.setattr(durable, "sync_folder", counted(durable.sync_folder))
        patch.setattr(Path, "replace", counted(Path.replace))
        patch.setattr(Path, "unlink", counted(Path.unlink))
        patch.setattr(restoring.high_water, "write", counted(restoring.high_water.write))
        patch.setattr(restoring, "_open_and_rebuild", counted(restoring._open_and_rebuild))
        try:
            bring_back()
        except Killed:
            # What tidies up on the way out calls some of them, too.
            assert calls >= fatal


@pytest.mark.parametrize("fatal", range(1, 13))
def test_a_kill_in_the_middle_is_noticed_and_mended(
    paths: HomePaths, backup: Path, monkeypatch: pytest.MonkeyPatch, fatal: int
) -> None:
    """The files are changed a call at a time; after a kill before any of them, the store opens
    with everything it had, or is refused until restoring is asked for again."""
    paths.write_ahead_log.touch()
    kill_at(fatal, monkeypatch, lambda: restore(paths, backup))
    try:
        with Store.open(paths) as store:
            rebuild.if_demanded(store, paths)
            assert len(images(store)) == 3
    except StoreDamaged:
        restore(paths, backup)
        with Store.open(paths) as store:
            assert len(images(store)) == 3


@pytest.mark.parametrize("fatal", range(1, 13))
def test_a_kill_while_beginning_anew_is_noticed_and_mended(
    paths: HomePaths, backup: Path, monkeypatch: pytest.MonkeyPatch, fatal: int
) -> None:
    """Though there are backups, which say that there was a database."""
    backup.rename(paths.backups / "daily-2026-11-22.duckdb")
    paths.write_ahead_log.touch()
    kill_at(fatal, monkeypatch, lambda: restore_from_images(paths))
    try:
        Store.open(paths).close()
    except StoreDamaged:
        restore_from_images(paths)
    with Store.open(paths) as store:
        rebuild.if_demanded(store, paths)
        assert len(images(store)) == 3


def test_a_disk_that_fills_up_meanwhile_is_told_as_that_and_changes_nothing(
    paths: HomePaths, backup: Path, digests: Digests, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = digests(paths)
    monkeypatch.setattr(shutil, "copyfile", fill)
    with pytest.raises(StoreFull, match=f"The disk is full, so a copy of {backup}"):
        restore(paths, backup)
    assert digests(paths) == before


def test_a_backup_on_another_disk_or_a_home_without_hard_links(
    paths: HomePaths, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    aside = restore(paths, Path(shutil.copy(backup, backup.with_name("copy")))).aside
    assert aside is not None
    assert aside.stat().st_size > 0
