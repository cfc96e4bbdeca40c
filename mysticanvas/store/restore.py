"""A backup in the place of the database, and the newer pictures from their files.

A kill at any moment leaves the present database, the restored one, or one that the high-water mark
refuses, so that restoring is asked for again; never an empty one that nobody noticed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import duckdb

from mysticanvas import durable, logs
from mysticanvas.contracts.refusal import refused
from mysticanvas.errors import NotFound, StoreError
from mysticanvas.home import HomePaths
from mysticanvas.store import backups, failures, high_water, inspection, opener, rebuild
from mysticanvas.store.high_water import Mark
from mysticanvas.store.rebuild import RebuildReport
from mysticanvas.store.store import Store

_log = logs.get(__name__)


class Restored(NamedTuple):
    """What was done."""

    backup: Path | None
    """What is in place now; None for a new database."""
    aside: Path | None
    """The database that was there, with its log beside it, or what is left of the two; None if
    there was neither."""
    images: RebuildReport
    """Pictures found again from their files."""


def check(paths: HomePaths, backup: Path | None) -> None:
    """Refuse what cannot be done, while the store may still be open elsewhere.

    Args:
        backup: what is to be put in place; None for a new database.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: it is the database itself.
        StoreDamaged, StoreTooNew: it cannot be used.
        StoreFull: there is no room for a copy.
        StoreError: it is not one of MystiCanvas, or this installation could open no store, whatever
            was put in place.
    """
    opener.connect(paths).close()
    if backup is not None:
        _check_backup(paths, backup)


def _check_backup(paths: HomePaths, backup: Path) -> None:
    if not backup.is_file():
        raise NotFound(
            f"There is no backup {backup}.",
            hint=f"`mysticanvas restore --latest` takes the newest in {paths.backups}.",
        )
    if paths.database.exists() and backup.samefile(paths.database):
        raise refused("FILE", str(backup), "a backup, not the database that it is to replace")
    inspection.examine(backup)
    files = [file for file in (backup, _log_of(backup)) if file.exists()]
    needed, free = sum(f.stat().st_size for f in files), shutil.disk_usage(paths.state).free
    if free < needed:
        raise failures.no_room(needed, free)


def latest(paths: HomePaths) -> Path:
    """The newest daily backup that is good.

    Raises:
        NotFound: there is none.
    """
    for backup in reversed(backups.daily(paths.backups).values()):
        try:
            inspection.examine(backup)
        except StoreError as error:
            _log.warning("backup_unusable", path=str(backup), reason=str(error))
        else:
            return backup
    raise NotFound(
        f"There is no good daily backup in {paths.backups}.",
        hint="`mysticanvas restore --from-images` reads the pictures back from their files.",
    )


def restore(paths: HomePaths, backup: Path) -> Restored:
    """Put a backup in the place of the database; nobody must have that open.

    The backup is copied, checked and only then put in place; the present database is kept in
    `backups/`. Then pictures that the backup does not know are read back from the image files.

    Raises:
        NotFound, InvalidRequest, StoreDamaged, StoreTooNew, StoreFull: as `check`; the present
            database is untouched.
        StoreLocked: an orchestrator runs.
        StoreError: it could not be done.
    """
    paths.create()
    check(paths, backup)
    with opener.lock(paths), _copy(backup, paths.state) as fresh:
        mark = inspection.examine(fresh, backup)
        aside = _swap(paths, fresh, mark)
    return Restored(backup, aside, _open_and_rebuild(paths, aside))


def restore_from_images(paths: HomePaths) -> Restored:
    """Begin with a new database, and read the pictures back from the image files.

    Raises:
        StoreLocked: an orchestrator runs.
        StoreError: it could not be done.
    """
    paths.create()
    check(paths, None)
    with opener.lock(paths):
        aside = _swap(paths, None, Mark())
    return Restored(None, aside, _open_and_rebuild(paths, aside))


@contextmanager
def _copy(backup: Path, folder: Path) -> Iterator[Path]:
    """A lasting copy of the backup on the disk of the home, removed if it is left unused. What was
    put aside may have its log beside it, whose rows are in the copy."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=".restore-")
    os.close(handle)
    copy, log = Path(name), _log_of(Path(name))
    try:
        shutil.copyfile(backup, copy)
        if _log_of(backup).exists():
            shutil.copyfile(_log_of(backup), log)
            _replay(copy, backup)
        durable.sync(copy)
        yield copy
    except OSError as error:
        if durable.is_full(error):
            raise failures.of_writing(error, f"a copy of {backup}") from error
        raise StoreError(f"The backup {backup} could not be put in place: {error}.") from error
    finally:
        copy.unlink(missing_ok=True)
        log.unlink(missing_ok=True)


def _log_of(database: Path) -> Path:
    return database.with_name(f"{database.name}.wal")


def _replay(database: Path, called: Path) -> None:
    """Move the rows of a database's log into its file; errors call it as they are told.

    Raises:
        StoreDamaged: one of them is damaged, or they do not belong together.
    """
    try:
        with duckdb.connect(str(database)) as connection:
            connection.execute("CHECKPOINT")
    except duckdb.Error as error:
        raise failures.of_opening(error, called) from error


def _swap(paths: HomePaths, fresh: Path | None, mark: Mark) -> Path | None:
    """Put `fresh`, or nothing, in the place of the database; where that is kept now.

    The order is the point. The present files get a second name first. Without its log, the present
    database has less than the mark says, and so has the fresh one until the mark is its own.
    """
    paths.rebuild_demand.touch()
    aside = _keep(paths)
    paths.write_ahead_log.unlink(missing_ok=True)
    if fresh is None:
        paths.database.unlink(missing_ok=True)
    else:
        fresh.replace(paths.database)
    durable.sync_folder(paths.state)
    high_water.write(paths.high_water, mark)
    return aside


def _keep(paths: HomePaths) -> Path | None:
    """Give the present database and its log, as far as they are there, a second, lasting name in
    `backups/`; the first of these names."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = paths.backups / f"aside-{stamp}.duckdb"
    names = {paths.database: aside, paths.write_ahead_log: _log_of(aside)}
    present = {path: name for path, name in names.items() if path.exists()}
    for path, name in present.items():
        _second_name(path, name)
    if present:
        durable.sync_folder(paths.backups)
    return next(iter(present.values()), None)


def _second_name(path: Path, name: Path) -> None:
    try:
        os.link(path, name)
    except OSError:
        # A file system without hard links. Nobody has the database open, so it may be read.
        shutil.copyfile(path, name)
        durable.sync(name)


def _open_and_rebuild(paths: HomePaths, aside: Path | None) -> RebuildReport:
    try:
        with Store.open(paths) as store:
            return rebuild.if_demanded(store, paths) or RebuildReport(0, 0, [])
    except StoreError as error:
        if aside is not None:
            error.hint = f"{error.hint} What was there is kept as {aside}.".strip()
        raise
