"""Opening: locks, what is refused untouched, what is put aside, what is shut."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import duckdb_extension_fts
import pytest

from mysticanvas.errors import (
    StoreDamaged,
    StoreError,
    StoreLocked,
    StoreTooNew,
)
from mysticanvas.home import HomePaths
from mysticanvas.store import Store, migrate, opener
from mysticanvas.store.migrate import Migration
from mysticanvas.store.restore import latest, restore, restore_from_images

Digests = Callable[[HomePaths], dict[str, str]]

HOLD = """
    import sys
    from pathlib import Path
    from mysticanvas.home import HomePaths
    from mysticanvas.store import Store
    store = Store.open(HomePaths.of(Path(sys.argv[1])))
    print("ready", flush=True)
"""


@contextmanager
def process(paths: HomePaths, code: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has the store open, and goes on with `code`."""
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLD) + textwrap.dedent(code), str(paths.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        try:
            assert child.stdout is not None
            while child.stdout.readline() != "ready\n":
                assert child.poll() is None
            yield child
        finally:
            child.kill()


@contextmanager
def raw(paths: HomePaths) -> Iterator[duckdb.DuckDBPyConnection]:
    """The database of a closed store, opened by hand."""
    with duckdb.connect(str(paths.database)) as connection:
        yield connection


def wal(paths: HomePaths) -> Path:
    return paths.database.with_name(paths.database.name + ".wal")


def test_a_store_is_created_and_opened_again(paths: HomePaths) -> None:
    with Store.open(paths) as store:
        assert store.versions[0] == 0
    with Store.open(paths) as store:
        assert store.versions[0] > 0
    assert paths.root.stat().st_mode & 0o777 == 0o700
    assert not wal(paths).exists()


def test_a_database_that_others_could_read_is_closed_to_them(paths: HomePaths) -> None:
    Store.open(paths).close()
    paths.root.chmod(0o755)
    paths.database.chmod(0o644)
    with Store.open(paths):
        assert paths.database.stat().st_mode & 0o777 == 0o600
    assert paths.root.stat().st_mode & 0o777 == 0o755, "images may be shared on purpose"


def test_everything_is_there_after_reopening(paths: HomePaths, maker: Any) -> None:
    with Store.open(paths) as store:
        record = maker.recorded(store, size=3)
        waiting = maker.added(store)
    with Store.open(paths) as store:
        assert store.jobs.get(record.id).record == record
        assert store.jobs.claim() is not None
        assert store.jobs.get(waiting.record.id).task == waiting.task


def test_opening_again_applies_nothing(paths: HomePaths) -> None:
    with Store.open(paths) as store:
        applied = store.database.read("SELECT * FROM schema_version")
    for _ in range(2):
        with Store.open(paths) as store:
            assert store.database.read("SELECT * FROM schema_version") == applied


def test_closing_twice_is_harmless(paths: HomePaths) -> None:
    store = Store.open(paths)
    store.close()
    store.close()


def test_a_second_opener_is_refused_by_name(store: Store, paths: HomePaths) -> None:
    with pytest.raises(StoreLocked, match=f"in use by process {os.getpid()}") as caught:
        Store.open(paths)
    assert "mysticanvas stop" in caught.value.hint
    assert store.jobs.page().items == []


def test_a_second_process_is_refused_and_the_lock_dies_with_its_holder(
    paths: HomePaths, maker: Any
) -> None:
    with process(paths, "input()") as child:
        with pytest.raises(StoreLocked, match=f"in use by process {child.pid}"):
            Store.open(paths)
        child.kill()
        child.wait()
        with Store.open(paths) as store:
            maker.recorded(store)


def test_a_child_process_does_not_keep_the_lock(paths: HomePaths) -> None:
    store = Store.open(paths)
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        try:
            store.close()
            Store.open(paths).close()
        finally:
            child.kill()


def test_the_lock_holds_though_the_file_was_opened_and_closed(
    store: Store, paths: HomePaths
) -> None:
    """DuckDB's own lock is gone after this; ours keeps the second process out."""
    paths.database.read_bytes()
    code = "from mysticanvas.errors import StoreLocked\n" + textwrap.dedent(HOLD)
    code = code.replace("store = Store", "try:\n    Store").replace(
        'print("ready", flush=True)', "except StoreLocked:\n    print('locked')"
    )
    command = [sys.executable, "-c", code, str(paths.root)]
    assert subprocess.run(command, capture_output=True, text=True).stdout.endswith("locked\n")


def test_a_database_that_another_program_has_is_locked(paths: HomePaths) -> None:
    Store.open(paths).close()
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(paths.database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            with pytest.raises(StoreLocked, match=rf"another program.*\(PID {child.pid}\)"):
                Store.open(paths)
        finally:
            child.kill()


def overwrite(content: bytes) -> Callable[[HomePaths], None]:
    return lambda paths: void(paths.database.write_bytes(content))


def truncate(paths: HomePaths) -> None:
    os.truncate(paths.database, paths.database.stat().st_size // 2)


def void(_: object) -> None:
    return None


@pytest.mark.parametrize(
    "damage", [overwrite(b"garbage" * 5000), overwrite(b"x"), overwrite(bytes(20_000)), truncate],
    ids=["garbage", "one byte", "zeros", "truncated"],
)  # fmt: skip
def test_a_damaged_file_is_refused_and_untouched(
    paths: HomePaths, maker: Any, digests: Digests, damage: Callable[[HomePaths], None]
) -> None:
    with Store.open(paths) as store:
        maker.recorded(store)
    damage(paths)
    before = digests(paths)
    with pytest.raises(StoreDamaged, match="damaged") as caught:
        Store.open(paths)
    assert "image files" in caught.value.hint
    assert digests(paths) == before


def test_a_refused_store_is_not_locked(paths: HomePaths) -> None:
    paths.create()
    paths.database.write_bytes(b"garbage" * 5000)
    for _ in range(2):
        with pytest.raises(StoreDamaged):
            Store.open(paths)


def restore_latest(paths: HomePaths) -> None:
    restore(paths, latest(paths))


@pytest.mark.parametrize("attempt", [Store.open, restore_from_images, restore_latest])
def test_an_installation_without_the_extension_is_no_damage_and_touches_nothing(
    paths: HomePaths,
    maker: Any,
    digests: Digests,
    monkeypatch: pytest.MonkeyPatch,
    attempt: Callable[[HomePaths], object],
) -> None:
    with Store.open(paths) as store:
        maker.recorded(store)
        store.backups.if_due(datetime(2026, 11, 22, tzinfo=UTC))
    wal(paths).touch()
    before, kept = digests(paths), sorted(paths.backups.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(opener, "_full_text_search", lambda: paths.run / "fts.duckdb_extension")
        with pytest.raises(StoreError, match="full-text search cannot be loaded") as caught:
            attempt(paths)
    assert not isinstance(caught.value, StoreDamaged)
    assert caught.value.hint.startswith("Install mysticanvas again")
    assert digests(paths) == before
    assert sorted(paths.backups.iterdir()) == kept
    with Store.open(paths) as store:
        assert store.images.count() == 1


def test_a_migration_that_fails_is_no_damage(
    paths: HomePaths, maker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(paths) as store:
        maker.recorded(store)
    known = migrate.available()
    wrong = Migration(len(known) + 1, "wrong", "ALTER TABLE no_such_table ADD COLUMN x INTEGER")
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "available", lambda: [*known, wrong])
        with pytest.raises(StoreError, match=r"cannot be opened: Catalog Error.*no_such_table") as (
            caught
        ):
            Store.open(paths)
    assert not isinstance(caught.value, StoreDamaged)
    assert "restore" not in str(caught.value)
    with Store.open(paths) as store:
        assert store.images.count() == 1


def test_a_newer_schema_is_refused_and_untouched(
    paths: HomePaths, maker: Any, digests: Digests
) -> None:
    with Store.open(paths) as store:
        maker.recorded(store)
    with raw(paths) as connection:
        connection.execute("INSERT INTO schema_version VALUES (99, 'later', 'x', '2030-01-01')")
    before = digests(paths)
    with pytest.raises(StoreTooNew, match="schema version 99; this library knows up to"):
        Store.open(paths)
    assert digests(paths) == before


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE schema_version SET checksum = 'x' WHERE version = 2",
        "DELETE FROM schema_version WHERE version = 2",
    ],
    ids=["checksum", "gap"],
)
def test_another_history_is_refused_and_untouched(
    paths: HomePaths, digests: Digests, change: str
) -> None:
    Store.open(paths).close()
    with raw(paths) as connection:
        connection.execute(change)
    before = digests(paths)
    with pytest.raises(StoreError, match=r"Migration 2 .*is not the one that was applied"):
        Store.open(paths)
    assert digests(paths) == before


def test_a_database_of_something_else_is_refused_and_untouched(
    paths: HomePaths, digests: Digests
) -> None:
    paths.create()
    with raw(paths) as connection:
        connection.execute("CREATE TABLE holidays (day DATE)")
    before = digests(paths)
    with pytest.raises(StoreError, match="holidays"):
        Store.open(paths)
    assert digests(paths) == before


def test_a_picture_without_its_file_row_is_damage(paths: HomePaths, maker: Any) -> None:
    with Store.open(paths) as store:
        maker.recorded(store, size=2)
    with raw(paths) as connection:
        connection.execute("DELETE FROM generation_files")
    with pytest.raises(StoreDamaged, match="2 images without a file"):
        Store.open(paths)


def test_a_home_with_an_awkward_name(tmp_path: Path, maker: Any) -> None:
    paths = HomePaths.of(tmp_path / "it's a 城; DROP TABLE")
    with Store.open(paths) as store:
        maker.recorded(store)
    with Store.open(paths) as store:
        assert store.images.count() == 1


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be opened"):
        Store.open(HomePaths.of(tmp_path / "file" / "home"))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('{outside}')",
        "COPY images TO '{outside}.parquet'",
        "ATTACH '{outside}.duckdb'",
        "INSTALL fts",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '1TB'",
    ],
)
def test_there_is_no_way_out(store: Store, tmp_path: Path, statement: str) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret")
    with pytest.raises(StoreError):
        store.database.read(statement.format(outside=outside))
    assert {path.name for path in tmp_path.iterdir()} == {"home", "outside"}


def test_no_extension_can_be_loaded_not_even_from_the_folder_that_is_open(
    store: Store, paths: HomePaths
) -> None:
    package = Path(duckdb_extension_fts.__file__).parent
    [shipped] = package.glob("extensions/*/fts.duckdb_extension")
    # Under another name, since one that is loaded is not loaded again.
    copied = shutil.copy(shipped, paths.backups / "other.duckdb_extension")
    with pytest.raises(StoreError, match="Loading external extensions is disabled"):
        store.database.read(f"LOAD '{copied}'")


def test_backups_can_be_written(store: Store, paths: HomePaths) -> None:
    store.database.read(f"COPY images TO '{paths.backups}/images.parquet'")
    assert (paths.backups / "images.parquet").exists()


def test_the_storage_format_is_pinned(store: Store) -> None:
    [row] = store.database.read(
        "SELECT tags FROM duckdb_databases() WHERE database_name = current_database()"
    )
    assert row["tags"]["storage_version"].startswith("v1.4.0")


def test_nothing_makes_an_index_or_a_foreign_key(store: Store) -> None:
    assert store.database.read("SELECT * FROM duckdb_indexes()") == []
    kinds = store.database.read("SELECT DISTINCT constraint_type AS kind FROM duckdb_constraints()")
    assert {row["kind"] for row in kinds} <= {"PRIMARY KEY", "UNIQUE", "NOT NULL"}
