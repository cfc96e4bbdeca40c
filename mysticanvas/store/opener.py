"""The one opener of the database file.

The order is the point. Lock; put the write-ahead log aside; look at everything read-only, so that
a database that is refused is untouched; open; CHECKPOINT, before anything else is written; migrate.

DuckDB's own lock on the file is a POSIX lock, and any open-and-close of the file within this
process drops it silently: nothing here or elsewhere may read, copy or open the file by other
means. `stat` is safe. A `flock` on a separate file is what really keeps a second process out.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import duckdb
import duckdb_extension_fts

from mysticanvas import logs
from mysticanvas.errors import StoreError, StoreLocked
from mysticanvas.processes import FileLock
from mysticanvas.settings import HomePaths
from mysticanvas.store import failures, high_water, migrate, queries
from mysticanvas.store.connection import CATALOG, rows
from mysticanvas.store.high_water import Mark

MEMORY_LIMIT_MIB = 256
STORAGE_VERSION = "v1.4.0"
"""Survives a kill in the middle of schema changes, and notices a log that is not the file's own."""
KEPT_LOGS = 3

_log = logs.get(__name__)
_SQL = queries.load("opening")


class Opened(NamedTuple):
    """An open database: hardened, checked and migrated."""

    connection: duckdb.DuckDBPyConnection
    lock: FileLock
    created: bool
    """Whether there was none before, or none but an empty one."""


def open_database(paths: HomePaths, memory_limit_mib: int = MEMORY_LIMIT_MIB) -> Opened:
    """Open the database of a home, or create it.

    Args:
        paths: the home; its folders are made if need be.
        memory_limit_mib: MiB that DuckDB may take before it spills to `run/`.

    Raises:
        StoreLocked: another process has it.
        StoreTooNew: a newer library wrote it; it is untouched.
        StoreDamaged: it is damaged, or has less than it had; it is untouched.
        StoreFull: the disk is full.
        StoreError: it cannot be opened for another reason.
    """
    try:
        paths.create()
        lock = _lock(paths.store_lock)
        try:
            return _open_locked(paths, lock, memory_limit_mib)
        except BaseException:
            lock.release()
            raise
    except duckdb.Error as error:
        raise failures.of_opening(error, paths.database) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise failures.full(paths.database) from error
        raise StoreError(f"{paths.database} cannot be opened: {error}.") from error


def measure(connection: duckdb.DuckDBPyConnection) -> Mark:
    """What the current database holds; an empty mark for one without tables."""
    if not migrate.applied(connection):
        return Mark()
    return Mark(**rows(connection, _SQL["mark"])[0])


def _lock(path: Path) -> FileLock:
    lock = FileLock(path)
    if not lock.acquire():
        holder = path.read_text(errors="replace").strip() or "unknown"
        raise StoreLocked(
            f"The store of {path.parent.parent} is in use by process {holder}.",
            hint="Stop that orchestrator (`mysticanvas stop`), or use another home directory.",
        )
    lock.write(f"{os.getpid()}\n")
    return lock


def _open_locked(paths: HomePaths, lock: FileLock, memory_limit_mib: int) -> Opened:
    is_new = _is_new(paths)
    _put_log_aside(paths, is_new)
    connection = _connect(paths, memory_limit_mib)
    try:
        if not is_new:
            _inspect(connection, paths)
        _attach(connection, paths.database, "READ_WRITE")
        _harden(connection, paths.backups)
        connection.execute("CHECKPOINT")
        migrated = migrate.run(connection)
    except BaseException:
        connection.close()
        raise
    for migration in migrated:
        _log.info("migrated", version=migration.version, name=migration.name)
    # A creation that was killed leaves a database without tables: to callers, that is none.
    return Opened(connection, lock, created=any(step.version == 1 for step in migrated))


def _is_new(paths: HomePaths) -> bool:
    """Whether there is no database yet. An empty file is what a kill during creation leaves."""
    try:
        if paths.database.stat().st_size > 0:
            return False
    except FileNotFoundError:
        if high_water.read(paths.high_water).images:
            _log.warning("database_missing", path=str(paths.database))
        return True
    paths.database.unlink()
    return True


def _put_log_aside(paths: HomePaths, is_new: bool) -> None:
    """Keep a copy of the log that a crash left; without its database, keep the log itself."""
    log = paths.database.with_name(paths.database.name + ".wal")
    if not log.exists():
        return
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    kept = paths.backups / f"crash-{stamp}.wal"
    if is_new:
        log.rename(kept)
    else:
        shutil.copyfile(log, kept)
    with kept.open("rb") as file:
        os.fsync(file.fileno())
    high_water.sync_folder(paths.backups)
    for old in sorted(paths.backups.glob("crash-*.wal"))[:-KEPT_LOGS]:
        old.unlink()


def _connect(paths: HomePaths, memory_limit_mib: int) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "memory_limit": f"{memory_limit_mib}MiB",
            "temp_directory": str(paths.run / "store.spill"),
        },
    )
    # Before hardening, after which no file can be loaded any more.
    connection.load_extension(str(_full_text_search()))
    return connection


def _full_text_search() -> Path:
    """The file of DuckDB's extension for this release, as its package has it."""
    package = Path(duckdb_extension_fts.__file__).parent
    return package / "extensions" / f"v{duckdb.__version__}" / "fts.duckdb_extension"


def _inspect(connection: duckdb.DuckDBPyConnection, paths: HomePaths) -> None:
    """Refuse what must not be opened, without changing a byte of it."""
    _attach(connection, paths.database, "READ_ONLY")
    migrate.pending(migrate.applied(connection), migrate.available())
    for complaint in _complaints(connection, paths):
        raise failures.damaged(paths.database, complaint)
    connection.execute("USE memory")
    connection.execute(f"DETACH {CATALOG}")


def _complaints(connection: duckdb.DuckDBPyConnection, paths: HomePaths) -> Iterator[str]:
    """What is wrong with the current database, cheap questions first."""
    size, used = paths.database.stat().st_size, rows(connection, _SQL["used_bytes"])[0]["bytes"]
    if size < used:
        yield f"the file has {size:,} bytes of {used:,}."
    present = measure(connection)
    missing = high_water.read(paths.high_water).missing_from(present)
    if missing:
        yield f"rows were lost ({'; '.join(missing)})."
    if present.schema_version:
        yield from (
            f"it holds {row['rows']} {row['what']}." for row in rows(connection, _SQL["damage"])
        )


def _attach(connection: duckdb.DuckDBPyConnection, database: Path, mode: str) -> None:
    path = str(database).replace("'", "''")
    connection.execute(
        f"ATTACH '{path}' AS {CATALOG} ({mode}, STORAGE_VERSION '{STORAGE_VERSION}')"
    )
    connection.execute(f"USE {CATALOG}")


def _harden(connection: duckdb.DuckDBPyConnection, backups: Path) -> None:
    """Close every way to other files but one folder, for good.

    Never allow the home itself: reading the database's own file drops its lock.
    """
    folder = str(backups).replace("'", "''")
    connection.execute(f"SET allowed_directories = ['{folder}/']")
    connection.execute("SET enable_external_access = false")
    # Else a name that is no table is looked for among the variables of the calling Python code.
    connection.execute("SET python_enable_replacements = false")
    # Queries of users give and compare times; they are in UTC wherever the machine is.
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET lock_configuration = true")
