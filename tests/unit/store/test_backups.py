"""Backups of an open store: whole, of one moment, checked, and the last three days of them."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest

from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.errors import InvalidRequest, JobCancelled, StoreError, StoreFull
from mysticanvas.home import HomePaths
from mysticanvas.store import Store, backups, inspection
from mysticanvas.store.backups import Rotation, oldest_first, rotation

TODAY = date(2026, 11, 22)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def days(*ago: int) -> list[date]:
    return [TODAY - timedelta(days=n) for n in ago]


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ([], Rotation(True, [])),
        (days(0), Rotation(False, [])),
        (days(1, 2), Rotation(True, [])),
        (days(1, 2, 3), Rotation(True, days(3))),
        (days(9, 1, 30, 5), Rotation(True, days(30, 9))),
        (days(0, 1, 2, 3, 4), Rotation(False, [])),
        # Days to come were dated by a clock that was wrong.
        (days(-700, -1, 1), Rotation(True, days(-1))),
        (days(-700, 2, 1), Rotation(True, days(-700))),
        # Or it is wrong now: then what it has dated since is newer.
        (days(-700, -701, -702), Rotation(True, days(-700))),
        (days(-701, -702, 1), Rotation(True, days(-701))),
    ],
)
def test_the_last_three_days_are_kept(present: list[date], expected: Rotation) -> None:
    assert rotation(oldest_first(present, TODAY), TODAY) == expected


def test_a_backup_has_every_row_and_no_index(
    store: Store, paths: HomePaths, maker: Any, tmp_path: Path
) -> None:
    maker.recorded(store, size=3)
    maker.added(store)
    store.presets.save(ImagePreset(name="城", model="/m"))
    with store.database.write() as transaction:
        transaction.run("INSERT INTO search_segments VALUES (1, 2)")
        transaction.run("INSERT INTO search_words VALUES ('castle')")
        transaction.run("UPDATE search_state SET last_seq = 2")
    target = tmp_path / "it's a backup.duckdb"

    record = store.backups.save(target)

    assert record.path == str(target)
    assert record.images == 3
    assert record.bytes == target.stat().st_size
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(paths.backups.iterdir()) == []
    tables = {
        row["t"] for row in store.database.read("SELECT table_name AS t FROM duckdb_tables()")
    }
    with duckdb.connect(str(target), read_only=True) as copy:
        for table in tables:
            query = f"SELECT * FROM {table} ORDER BY ALL"
            there = copy.execute(query).fetchall()
            if table == "search_state":
                assert there == [(0, 0, 0, 0.0, "none", 0)]
            elif table.startswith(backups.INDEX_PREFIX):
                assert there == []
            else:
                ours = [tuple(row.values()) for row in store.database.read(query)]
                assert there == ours, table


def test_a_backup_has_the_storage_format_and_constraints(store: Store, tmp_path: Path) -> None:
    store.backups.save(tmp_path / "b.duckdb")
    query = "SELECT table_name, constraint_text FROM duckdb_constraints() ORDER BY ALL"
    ours = [tuple(row.values()) for row in store.database.read(query)]
    with duckdb.connect(str(tmp_path / "b.duckdb"), read_only=True) as copy:
        assert copy.execute(query).fetchall() == ours
        [(tags,)] = copy.execute(
            "SELECT tags FROM duckdb_databases() WHERE database_name = current_database()"
        ).fetchall()
    assert tags["storage_version"].startswith("v1.4.0")


def test_what_is_written_meanwhile_is_whole_or_absent(
    store: Store, maker: Any, tmp_path: Path
) -> None:
    """Pictures are recorded between the tables; the backup has no picture without its file."""
    maker.recorded(store)
    meanwhile = 0

    def record() -> None:
        nonlocal meanwhile
        meanwhile += 1
        maker.recorded(store)

    made = store.backups.save(tmp_path / "b.duckdb", record)
    # `check` comes before the first table, so before the snapshot, at most once.
    assert made.images <= 2 < meanwhile + 1 == len(store.images.page(1000).items)
    assert inspection.examine(tmp_path / "b.duckdb").images == made.images


def test_writes_go_on_during_the_snapshot(store: Store, maker: Any, tmp_path: Path) -> None:
    """A write from another thread ends while the backup waits between two tables."""
    calls: list[int] = []

    def write() -> None:
        thread = threading.Thread(target=lambda: calls.append(maker.recorded(store) is not None))
        thread.start()
        thread.join(60)
        assert not thread.is_alive()

    store.backups.save(tmp_path / "b.duckdb", write)
    assert len(calls) > 5


def test_no_file_is_overwritten(store: Store, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for path in (taken, tmp_path / "link"):
        with pytest.raises(InvalidRequest, match="none is overwritten"):
            store.backups.save(path)
    with pytest.raises(InvalidRequest, match="folder that exists"):
        store.backups.save(tmp_path / "no folder" / "b")
    with pytest.raises(InvalidRequest, match="absolute"):
        store.backups.save(Path("b.duckdb"))
    assert taken.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_a_file_that_appears_meanwhile_is_not_overwritten(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "b.duckdb"
    with pytest.raises(InvalidRequest, match="none is overwritten"):
        store.backups.save(target, lambda: void(target.write_text("theirs")))
    assert target.read_text() == "theirs"


def void(_: object) -> None:
    return None


def test_a_backup_that_is_cancelled_leaves_nothing(
    store: Store, paths: HomePaths, tmp_path: Path
) -> None:
    def cancel() -> None:
        raise JobCancelled("enough")

    with pytest.raises(JobCancelled):
        store.backups.save(tmp_path / "b.duckdb", cancel)
    assert list(paths.backups.iterdir()) == []
    assert not (tmp_path / "b.duckdb").exists()


def test_closing_the_store_ends_a_backup(store: Store, paths: HomePaths, tmp_path: Path) -> None:
    closing = threading.Thread(target=store.close)

    def close() -> None:
        closing.start()
        with contextlib.suppress(StoreError):
            while True:
                store.presets.list()

    with pytest.raises(StoreError, match="closed"):
        store.backups.save(tmp_path / "b.duckdb", close)
    closing.join(60)
    assert not closing.is_alive()
    assert list(paths.backups.iterdir()) == []


def test_what_a_killed_backup_left_goes_with_the_next(
    store: Store, paths: HomePaths, tmp_path: Path
) -> None:
    left = paths.backups / "unfinished-x"
    left.mkdir()
    (left / "images.parquet").write_bytes(b"half")
    store.backups.save(tmp_path / "b.duckdb")
    assert not left.exists()


def test_without_room_nothing_is_begun(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 1))
    with pytest.raises(StoreFull, match=r"[0-9]+ MiB may be needed, 0 MiB are free") as caught:
        store.backups.save(tmp_path / "b.duckdb")
    assert caught.value.status == 507
    assert not (tmp_path / "b.duckdb").exists()


@pytest.fixture
def no_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


@pytest.fixture
def stick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_hard_links: None) -> Path:
    """A folder on another disk, without hard links."""
    folder, refuse = tmp_path / "stick", os.link

    def link(made: Path, target: Path) -> None:
        if folder in {made.parent, target.parent} and made.parent != target.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        refuse(made, target)

    folder.mkdir()
    monkeypatch.setattr(os, "link", link)
    return folder


def test_a_backup_goes_to_a_disk_without_hard_links(
    store: Store, maker: Any, stick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    maker.recorded(store)
    monkeypatch.setattr(Path, "chmod", refuse)
    assert store.backups.save(stick / "b.duckdb").images == 1
    assert inspection.examine(stick / "b.duckdb").images == 1
    with pytest.raises(InvalidRequest, match="none is overwritten"):
        store.backups.save(stick / "c.duckdb", lambda: void((stick / "c.duckdb").write_text("x")))
    assert (stick / "c.duckdb").read_text() == "x"
    assert sorted(path.name for path in stick.iterdir()) == ["b.duckdb", "c.duckdb"]


@pytest.mark.usefixtures("no_hard_links")
def test_on_the_disk_of_the_home_a_backup_is_not_written_twice(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "copyfile", None)
    store.backups.save(tmp_path / "b.duckdb")
    assert inspection.examine(tmp_path / "b.duckdb").images == 0


def test_what_a_kill_left_on_another_disk_goes_with_the_next(
    store: Store, paths: HomePaths, stick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "copyfile", killed)
        patch.setattr(backups, "_clear", void)
        store.backups.save(stick / "b.duckdb")
    [left], [workplace] = stick.iterdir(), paths.backups.iterdir()
    # Whatever the note says, another's file is not ours to remove.
    theirs = tmp_path / "theirs"
    theirs.touch()
    other = paths.backups / "unfinished-x"
    other.mkdir()
    (other / "elsewhere").write_text(str(theirs))
    store.backups.save(tmp_path / "b.duckdb")
    assert [path.exists() for path in (left, workplace, other, theirs)] == [False] * 3 + [True]


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, StoreFull), (errno.EDQUOT, StoreFull), (errno.EIO, StoreError)],
)
@pytest.mark.parametrize(
    ("owner", "step"), [(shutil, "copyfile"), (backups.durable, "sync"), (Path, "replace")]
)
def test_a_disk_that_fails_while_a_backup_is_written_keeps_nothing_of_it(
    store: Store,
    paths: HomePaths,
    stick: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[StoreError],
    owner: object,
    step: str,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(owner, step, fail)
    with pytest.raises(StoreError, match=str(stick / "b.duckdb")) as caught:
        store.backups.save(stick / "b.duckdb")
    assert type(caught.value) is kind
    assert list(stick.iterdir()) == list(paths.backups.iterdir()) == []


def test_a_daily_backup_is_made_once_and_the_fourth_replaces_the_first(
    store: Store, paths: HomePaths
) -> None:
    for n in range(4):
        now = NOON + timedelta(days=n)
        made = store.backups.if_due(now)
        assert made == paths.backups / f"daily-{now.date()}.duckdb"
        assert store.backups.if_due(now) is None
    assert list(backups.daily(paths.backups)) == days(-1, -2, -3)


def test_an_empty_file_is_no_backup_and_is_replaced(store: Store, paths: HomePaths) -> None:
    """A kill left the name that was taken for it."""
    for n in (1, 2, 3):
        store.backups.if_due(NOON - timedelta(days=n))
    left = paths.backups / f"daily-{TODAY}.duckdb"
    left.touch()
    assert list(backups.daily(paths.backups)) == days(3, 2, 1)
    assert not store.backups.has(TODAY)
    assert store.backups.if_due(NOON) == left
    assert inspection.examine(left).images == 0
    (paths.backups / f"daily-{days(1)[0]}.duckdb").write_bytes(b"")
    store.backups.if_due(NOON + timedelta(days=1))
    assert list(backups.daily(paths.backups)) == days(2, 0, -1)


def test_backups_of_days_to_come_are_pushed_out_by_those_that_follow(
    store: Store, paths: HomePaths
) -> None:
    """A clock was two years ahead for two days."""
    for day in (700, 701, 0, 1, 2):
        store.backups.if_due(NOON + timedelta(days=day))
    assert list(backups.daily(paths.backups)) == days(0, -1, -2)


def test_a_failure_keeps_the_old_backups(store: Store, paths: HomePaths) -> None:
    for n in range(3):
        store.backups.if_due(NOON + timedelta(days=n))

    def fail() -> None:
        raise StoreFull("full")

    with pytest.raises(StoreFull):
        store.backups.if_due(NOON + timedelta(days=3), fail)
    assert len(backups.daily(paths.backups)) == 3
