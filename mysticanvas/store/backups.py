"""Backups of the open database, and which of them are kept.

The rows leave the database as Parquet files, all as of one moment, and a second DuckDB makes the
backup from them. So the transaction that reads is short, other reads and writes go on beside it,
and a disk that fills up stops the second DuckDB and not the store's own. That has a piece of a
table in its memory at a time, whatever the size of the collection. (`COPY FROM DATABASE` changes a
setting, which the locked configuration refuses.)

The search index is left out: it is large, and made again from the rows.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from importlib import resources
from pathlib import Path
from typing import NamedTuple, TypeVar

import duckdb

from mysticanvas import durable
from mysticanvas.contracts.backups import BackupRecord
from mysticanvas.contracts.params import refused
from mysticanvas.errors import InvalidRequest, StoreError
from mysticanvas.home import HomePaths
from mysticanvas.store import failures, inspection, migrate, parquet, queries
from mysticanvas.store.connection import NEW_STORAGE, Database, rows
from mysticanvas.store.high_water import Mark

KEPT_DAYS = 3
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "256MiB",
    "threads": 1,
}
"""Of every DuckDB beside the store's own."""
INDEX_PREFIX = "search_"
"""Tables of the search index; in a backup they are as in a new database."""
_ROOM = 2.5
"""Times the size of the database that a backup takes on the disk while it is made, at most."""
_DAILY = re.compile(r"daily-(\d{4}-\d{2}-\d{2})\.duckdb")
_UNFINISHED = "unfinished-"
_ELSEWHERE = "elsewhere"
"""File of a workplace that names the copy on another disk, which is to go with it."""
_SQL = queries.load("backups")
T = TypeVar("T", date, str)
Files = Mapping[str, Mapping[Path, int]]
"""Table -> the Parquet files that have its rows, in order, and how many rows are in each."""


class Rotation(NamedTuple):
    """What is to be done today."""

    make: bool
    drop: list[date]
    """Days whose backups go once today's is made."""


def rotation(present: Sequence[date], today: date) -> Rotation:
    """Which daily backups to make and to delete, so that the last `KEPT_DAYS` are kept.

    Args:
        present: those that are there, oldest first.
    """
    if today in present:
        return Rotation(False, [])
    return Rotation(True, list(present[: -(KEPT_DAYS - 1)]))


def oldest_first(times: Iterable[T], now: T) -> list[T]:
    """What says when it was made, days or names, in the order of that.

    Those to come are older than all others: a clock was wrong when they were made, or is now.
    """
    return sorted(times, key=lambda time: (time <= now, time))


def daily(folder: Path, today: date | None = None) -> dict[date, Path]:
    """The daily backups in a folder, oldest first; without what is empty, as a kill leaves it.

    Args:
        today: the day in UTC that counts as today; by default that of the clock.
    """
    found = ((_DAILY.fullmatch(path.name), path) for path in folder.glob("daily-*"))
    dated = {}
    for match, path in found:
        with contextlib.suppress(ValueError):
            if match and not _is_empty(path):
                dated[date.fromisoformat(match[1])] = path
    today = today or datetime.now(UTC).date()
    return {day: dated[day] for day in oldest_first(dated, today)}


def advice(paths: HomePaths) -> str:
    """What the user can do about a damaged or missing database of this home."""
    home = shlex.quote(str(paths.root))
    anew = f"`mysticanvas restore --from-images --home {home}` begins anew"
    newest = list(daily(paths.backups).items())[-1:]
    if newest:
        [(day, path)] = newest
        how = (
            f"`mysticanvas restore --latest --home {home}` brings back the backup of {day} "
            f"({path}); {anew} without it"
        )
    else:
        how = f"{anew}, as there is no backup"
    return (
        f"{how}. Newer pictures and recipes are then read back from the image files; what is left "
        "of the database is kept in the folder of backups."
    )


class Backups:
    """Makes backups of the open database, one at a time; from any thread.

    Args:
        database: what is copied.
        paths: its home; backups are made in `backups/`.
    """

    def __init__(self, database: Database, paths: HomePaths) -> None:
        self._database = database
        self._paths = paths
        self._making = threading.Lock()

    def save(self, target: Path, check: Callable[[], None] = lambda: None) -> BackupRecord:
        """Make a backup; it is verified, and lasts, once this returns.

        Args:
            target: an absolute path, in a folder that exists, where there is no file yet.
            check: called between the tables; what it raises ends the work and leaves nothing.

        Raises:
            InvalidRequest: there is such a file, or no such folder.
            StoreFull: there is no room.
            StoreError: it could not be made.
        """
        _check_target(target)
        self._check_room()
        try:
            with self._making, self._workplace() as folder:
                made = folder / "backup.duckdb"
                files = self._export(folder, check)
                _build(made, files, check)
                mark = _verified(made, files)
                _place(made, target)
        except duckdb.Error as error:
            raise failures.of(error) from error
        except FileExistsError as error:
            raise _exists(target) from error
        except OSError as error:
            raise failures.of_writing(error, target) from error
        return BackupRecord(
            path=str(target),
            bytes=target.stat().st_size,
            images=mark.images,
            schema_version=mark.schema_version,
            created_at=datetime.now(UTC),
        )

    def if_due(self, now: datetime, check: Callable[[], None] = lambda: None) -> Path | None:
        """Make the backup of the day if there is none, and delete those that are too old.

        Args:
            now: the time that says which day it is, in UTC.
            check: as for `save`.

        Returns:
            The backup, or None if there was one.

        Raises:
            StoreError: as `save`; old backups stay.
        """
        present = daily(self._paths.backups, now.date())
        todo = rotation(list(present), now.date())
        if not todo.make:
            return None
        target = self._paths.backups / f"daily-{now.date().isoformat()}.duckdb"
        if _is_empty(target):
            target.unlink()
        self.save(target, check)
        for day in todo.drop:
            present[day].unlink(missing_ok=True)
        return target

    def has(self, day: date) -> bool:
        """Whether there is the backup of that day."""
        return day in daily(self._paths.backups)

    def behind(self) -> bool:
        """Whether the newest daily backup lacks something that somebody did, or cannot tell. Work
        that nobody asked for does not count."""
        newest = [*daily(self._paths.backups).values()][-1:]
        if not newest:
            return True
        try:
            with duckdb.connect(str(newest[0]), read_only=True, config=_CONFIG) as backup:
                return self._database.read(_SQL["content"]) != rows(backup, _SQL["content"])
        except duckdb.Error:
            # It is damaged, or of an earlier schema.
            return True

    @contextlib.contextmanager
    def _workplace(self) -> Iterator[Path]:
        """An empty folder that goes with all that is left in it; those of killed processes too."""
        for old in self._paths.backups.glob(f"{_UNFINISHED}*"):
            _clear(old)
        folder = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self._paths.backups))
        try:
            yield folder
        finally:
            _clear(folder)

    def _check_room(self) -> None:
        needed = int(_ROOM * self._paths.database.stat().st_size)
        free = shutil.disk_usage(self._paths.backups).free
        if free < needed:
            raise failures.no_room(needed, free)

    def _export(self, folder: Path, check: Callable[[], None]) -> Files:
        """Write every table to files, all as of one moment."""

        def look() -> None:
            check()
            self._database.check_open()

        with self._database.cursor() as cursor:
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            files = {}
            for table in _tables():
                look()
                files[table] = parquet.write(cursor, table, folder, look)
            cursor.execute("ROLLBACK")
        return files


def _tables() -> list[str]:
    """The tables whose rows a backup has, in the order of `schema.sql`."""
    schema = (resources.files(__package__) / "schema.sql").read_text("utf-8")
    tables = re.findall(r"^CREATE TABLE (\w+)", schema, re.MULTILINE)
    return [table for table in tables if not table.startswith(INDEX_PREFIX)]


def _build(made: Path, files: Files, check: Callable[[], None]) -> None:
    config = _CONFIG | {"temp_directory": str(made.parent)}
    with duckdb.connect(":memory:", config=config) as connection:
        connection.execute(f"ATTACH '{parquet.quoted(made)}' AS backup ({NEW_STORAGE})")
        connection.execute("USE backup")
        # Not `schema.sql`: a migration may put a first row into a table.
        migrate.run(connection)
        connection.execute("DELETE FROM schema_version")
        for table, written in files.items():
            if written:
                check()
                # At once: rows fewer than a row group would go through the log, one by one.
                names = ", ".join(f"'{parquet.quoted(file)}'" for file in written)
                connection.execute(
                    f"INSERT INTO {table} BY NAME SELECT * FROM read_parquet([{names}])"
                )
            for file in written:
                file.unlink()
        connection.execute("CHECKPOINT")


def _verified(made: Path, files: Files) -> Mark:
    """What the backup holds.

    Raises:
        StoreError: it does not hold what was written to it.
    """
    mark = inspection.examine(made)
    with duckdb.connect(str(made), read_only=True) as connection:
        for table, written in files.items():
            expected = sum(written.values())
            [(found,)] = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
            if found != expected:
                raise StoreError(f"The backup has {found:,} rows of {expected:,} in {table}.")
    return mark


def _check_target(target: Path) -> None:
    if not target.is_absolute():
        raise refused("path", str(target), "an absolute path")
    if not target.parent.is_dir():
        raise refused("path", str(target), "a path in a folder that exists")
    if target.exists() or target.is_symlink():
        raise _exists(target)


def _exists(target: Path) -> InvalidRequest:
    return refused("path", str(target), "a path where there is no file: none is overwritten")


def _is_empty(path: Path) -> bool:
    """Whether it is a file that holds nothing: a name that was taken for a backup to come."""
    return path.is_file() and path.stat().st_size == 0


def _clear(workplace: Path) -> None:
    """Remove a workplace and the copy that it has elsewhere, as far as that can be done."""
    with contextlib.suppress(OSError):
        copy = Path(os.fsdecode((workplace / _ELSEWHERE).read_bytes()))
        if copy.name == f".{workplace.name}":
            copy.unlink()
    shutil.rmtree(workplace, ignore_errors=True)


def _place(made: Path, target: Path) -> None:
    """Give a finished file of a workplace its name, whole and lasting, and never that of another
    file."""
    durable.sync(made)
    try:
        _name(made, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        workplace = made.parent
        copy = target.with_name(f".{workplace.name}")
        (workplace / _ELSEWHERE).write_bytes(os.fsencode(copy))
        copy.touch(0o600, exist_ok=False)
        shutil.copyfile(made, copy)
        durable.sync(copy)
        _name(copy, target)
    with contextlib.suppress(OSError):
        # Some file systems know no such rights.
        target.chmod(0o600)
    durable.sync_folder(target.parent)


def _name(made: Path, target: Path) -> None:
    """Give a file a name on its disk that is nobody's."""
    if not _linked(made, target):
        _take_place(made, target)


def _linked(made: Path, target: Path) -> bool:
    """Give a file a second name that is nobody's; whether its disk has such.

    Raises:
        FileExistsError: it is somebody's.
        OSError: with `EXDEV`, that is on another disk.
    """
    try:
        os.link(made, target)
    except OSError as error:
        if error.errno in {errno.EEXIST, errno.EXDEV}:
            raise
        return False
    return True


def _take_place(made: Path, target: Path) -> None:
    """Rename a file to a name that is nobody's, where only renaming takes the place of another."""
    with target.open("xb"):
        pass
    try:
        made.replace(target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
