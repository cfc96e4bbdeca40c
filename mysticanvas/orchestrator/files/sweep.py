"""The files of deleted pictures: forgotten first, then removed.

A crash between the two leaves a list of what is still to go, and never a row whose file is gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path, PurePosixPath

from mysticanvas import durable, logs
from mysticanvas.orchestrator.queue.context import Pace
from mysticanvas.settings import HomePaths
from mysticanvas.store import Store, tombstones

BATCH = 500
_log = logs.get(__name__)


def run(store: Store, paths: HomePaths, before: datetime, pace: Pace) -> int:
    """Remove the files of pictures that were deleted at `before` or earlier; how many pictures.

    Their rows stay, so that an id is never given to another picture.

    Raises:
        JobCancelled: it was to end; the next run goes on from there.
        StoreError: the database failed.
    """
    finish(store, paths.root)
    swept = 0
    while batch := store.files.deleted(before, BATCH):
        pace.check()
        store.files.doom([original.seq for original in batch])
        finish(store, paths.root)
        swept += len(batch)
        pace.progress(0.0, "sweep")
    store.database.check_in_place()
    tombstones.replace(paths.images, lambda listed: _still_to_list(store, listed))
    return swept


def _still_to_list(store: Store, listed: set[str]) -> set[str]:
    """Which pictures the list of deleted ones is to hold: those whose file is there.

    What the store does not know stays on it: a store that was built again may not know all, and
    the file, if it is there, would be taken for a new picture.
    """
    return listed - store.images.known(sorted(listed)) | store.files.deleted_and_there()


def finish(store: Store, home: Path) -> None:
    """Remove the files that are on the list of what is to go; those that cannot be, stay on it.

    Raises:
        StoreError: the database failed, or the home is another's by now.
    """
    after = ""
    while doomed := store.files.doomed(BATCH, after):
        store.database.check_in_place()
        # A file can be of use to two pictures, such as one that both were made from.
        kept = store.files.named(doomed)
        gone = {path for path in set(doomed) - kept if _unlink(home, path)}
        _sync({(home / path).parent for path in gone})
        if gone | kept:
            store.files.forget_doomed(sorted(gone | kept))
        after = doomed[-1]


def _unlink(home: Path, path: str) -> bool:
    """Remove a file; whether it is gone. One outside the home never is, and is said to be."""
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        _log.warning("foreign_path_left_alone", path=path)
        return True
    try:
        (home / parts).unlink(missing_ok=True)
    except NotADirectoryError:
        return True
    except OSError as error:
        _log.warning("file_not_removed", path=path, error=str(error))
        return False
    return True


def _sync(folders: Iterable[Path]) -> None:
    for folder in folders:
        if folder.is_dir():
            durable.sync_folder(folder)
