"""The one opener of the database file.

The order is the point. Lock; put aside what a crash left; look at everything read-only, so that
a database that is refused is untouched; open; CHECKPOINT, before anything else is written; migrate.

DuckDB's own lock on the file is a POSIX lock, and any open-and-close of the file within this
process drops it silently: nothing here or elsewhere may read, copy or open the file by other
means. `stat` is safe. A `flock` on a separate file is what really keeps a second process out.
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import duckdb
import duckdb_extension_fts

from mysticanvas import durable, logs
from mysticanvas.errors import StoreDamaged, StoreError, StoreLocked
from mysticanvas.home import LOCAL_STATE, HomePaths
from mysticanvas.locks import FileLock, LocksDoNotHold
from mysticanvas.store import backups, failures, high_water, inspection, migrate, parameters
from mysticanvas.store.connection import CATALOG, NEW_STORAGE, STORAGE
from mysticanvas.store.high_water import Mark

MEMORY_LIMIT_MIB = 256
KEPT_CRASHES = 3

_log = logs.get(__name__)


class Opened(NamedTuple):
    """An open database: hardened, checked and migrated."""

    connection: duckdb.DuckDBPyConnection
    lock: FileLock
    versions: tuple[int, int]
    """The schema version that it had, 0 for none, and the one that it has. A creation that was
    killed leaves a database without tables: to callers, that is none."""


def open_database(paths: HomePaths, memory_limit_mib: int = MEMORY_LIMIT_MIB) -> Opened:
    """Open the database of a home, or create it.

    Args:
        paths: the home; its folders are made if need be.
        memory_limit_mib: MiB that DuckDB may take before it spills to `run/`.

    Raises:
        StoreLocked: another process has it.
        StoreTooNew: a newer library wrote it; it is untouched.
        StoreDamaged: it is damaged, has less than it had, or is gone; what is there is untouched.
        StoreFull: the disk is full.
        StoreError: it cannot be opened for another reason.
    """
    try:
        paths.create()
        taken = lock(paths)
        try:
            return _open_locked(paths, taken, memory_limit_mib)
        except BaseException:
            taken.release()
            raise
    except duckdb.Error as error:
        raise _advised(failures.of_opening(error, paths.database), paths) from error
    except StoreDamaged as error:
        raise _advised(error, paths) from error
    except OSError as error:
        if durable.is_full(error):
            raise failures.full(paths.database) from error
        raise StoreError(f"{paths.database} cannot be opened: {error}.") from error


def lock(paths: HomePaths) -> FileLock:
    """Keep every other process out of a home's store until the lock is released.

    Raises:
        StoreLocked: another process has it.
        StoreError: the file system has no locks that hold.
    """
    taken = FileLock(paths.store_lock)
    try:
        free = taken.acquire()
    except LocksDoNotHold as error:
        raise StoreError(f"Locks do not hold in {paths.run}: {error}.", hint=LOCAL_STATE) from error
    if not free:
        holder = paths.store_lock.read_text(errors="replace").strip() or "unknown"
        raise StoreLocked(
            f"The store of {paths.root} is in use by process {holder}.",
            hint="Stop that orchestrator (`mysticanvas stop`), or use another home directory.",
        )
    taken.write(f"{os.getpid()}\n")
    return taken


def _advised(error: StoreError, paths: HomePaths) -> StoreError:
    """The error, with what to do in this very home if the database is damaged."""
    if isinstance(error, StoreDamaged):
        error.hint = backups.advice(paths)
    return error


def _open_locked(paths: HomePaths, taken: FileLock, memory_limit_mib: int) -> Opened:
    connection = connect(paths, memory_limit_mib)
    try:
        is_new = never_was(paths)
        _put_aside(paths, is_new)
        if is_new:
            # An empty file is what a kill during creation leaves.
            paths.database.unlink(missing_ok=True)
        else:
            _inspect(connection, paths)
        _attach(connection, paths.database, "READ_WRITE", NEW_STORAGE if is_new else STORAGE)
        _harden(connection, paths.backups)
        connection.execute("CHECKPOINT")
        if not migrate.applied(connection) and any(paths.images.iterdir()):
            # Before it has tables: who is killed in between leaves one that looks as if it had
            # always been.
            paths.rebuild_demand.touch()
        migrated = migrate.run(connection)
    except BaseException:
        connection.close()
        raise
    for migration in migrated:
        _log.info("migrated", version=migration.version, name=migration.name)
    after = len(migrate.available())
    return Opened(connection, taken, versions=(after - len(migrated), after))


def never_was(paths: HomePaths) -> bool:
    """Whether a home has no database yet, and may be given one; nothing is changed.

    Raises:
        StoreDamaged: it had one, which is empty or gone now. To begin anew would raise a mark and
            make backups that push out those of the old one, so that is only done when asked for.
    """
    is_there = paths.database.exists()
    if is_there and paths.database.stat().st_size > 0:
        return False
    mark = high_water.read(paths.high_water)
    what = inspection.lost(mark, bool(backups.daily(paths.backups)))
    if what is None:
        return True
    if is_there:
        error = failures.damaged(paths.database, f"it is empty; {what}")
    else:
        error = failures.missing(paths.database, what)
    raise _advised(error, paths)


def _put_aside(paths: HomePaths, is_new: bool) -> None:
    """Keep what a crash left: a copy of the log, and one of the database where the file system
    makes that for nothing; without its database, the log itself."""
    log = paths.write_ahead_log
    if not log.exists():
        return
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    kept = paths.backups / f"crash-{stamp}.duckdb"
    kept_log = kept.with_name(f"{kept.name}.wal")
    if is_new:
        log.rename(kept_log)
    else:
        shutil.copyfile(log, kept_log)
        if durable.clone(paths.database, kept):
            durable.sync(kept)
    durable.sync(kept_log)
    durable.sync_folder(paths.backups)
    logs_kept = [path.name for path in paths.backups.glob("crash-*.wal")]
    for old in backups.oldest_first(logs_kept, kept_log.name)[:-KEPT_CRASHES]:
        old_log = paths.backups / old
        old_log.with_suffix("").unlink(missing_ok=True)
        old_log.unlink()


def connect(
    paths: HomePaths, memory_limit_mib: int = MEMORY_LIMIT_MIB
) -> duckdb.DuckDBPyConnection:
    """DuckDB without a database, with all that the store needs of it.

    Raises:
        StoreError: the installation lacks some of that.
    """
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            # The one that is loaded comes with the installation, as DuckDB does, and checking its
            # signature takes a third of an open. After `_harden`, no other can be.
            "allow_unsigned_extensions": True,
            # `Database` decides when: see there.
            "checkpoint_threshold": "1TiB",
            "memory_limit": f"{memory_limit_mib}MiB",
            "temp_directory": str(paths.run / "store.spill"),
        },
    )
    # Before hardening, after which no file can be loaded any more.
    try:
        connection.load_extension(str(_full_text_search()))
    except duckdb.Error as error:
        connection.close()
        raise failures.of_extension(error) from error
    parameters.spare_pandas(connection)
    return connection


def _full_text_search() -> Path:
    """The file of DuckDB's extension for this release, as its package has it."""
    package = Path(duckdb_extension_fts.__file__).parent
    return package / "extensions" / f"v{duckdb.__version__}" / "fts.duckdb_extension"


def _inspect(connection: duckdb.DuckDBPyConnection, paths: HomePaths) -> None:
    """Refuse what must not be opened, without changing a byte of it."""
    mark = high_water.read(paths.high_water) or Mark()
    size = paths.database.stat().st_size
    try:
        _attach(connection, paths.database, "READ_ONLY", STORAGE)
        migrate.pending(migrate.applied(connection), migrate.available())
        for complaint in inspection.complaints(connection, size, mark):
            raise failures.damaged(paths.database, complaint)
        connection.execute("USE memory")
        connection.execute(f"DETACH {CATALOG}")
    except duckdb.Error as error:
        raise failures.of_reading(error, paths.database) from error


def _attach(connection: duckdb.DuckDBPyConnection, database: Path, mode: str, storage: str) -> None:
    path = str(database).replace("'", "''")
    connection.execute(f"ATTACH '{path}' AS {CATALOG} ({mode}, {storage})")
    connection.execute(f"USE {CATALOG}")


def _harden(connection: duckdb.DuckDBPyConnection, backups: Path) -> None:
    """Close every way to other files but one folder, for good.

    Never allow the home itself: reading the database's own file drops its lock.
    """
    # From here on one thread a statement: on a small one, a second one only takes time from the
    # sampling in another process. What came before, the integrity checks, had them all.
    connection.execute("SET threads = 1")
    folder = str(backups).replace("'", "''")
    connection.execute(f"SET allowed_directories = ['{folder}/']")
    connection.execute("SET enable_external_access = false")
    # Else a name that is no table is looked for among the variables of the calling Python code.
    connection.execute("SET python_enable_replacements = false")
    # Queries of users give and compare times; they are in UTC wherever the machine is.
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET lock_configuration = true")
