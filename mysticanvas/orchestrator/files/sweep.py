"""The files of deleted pictures: forgotten first, then removed.

A crash between the two leaves a list of what is still to go, and never a row whose file is gone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath

from mysticanvas import durable, logs
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.queue.context import Pace
from mysticanvas.store import Store, tombstones

BATCH = 500
_SHOWN = 3
"""Files that the log names of those that could not be removed."""
_log = logs.get(__name__)


class _Left:
    """Files that could not be removed: how many, and what stood in the way of the first."""

    def __init__(self) -> None:
        self.count = 0
        self.first: dict[str, str] = {}

    def add(self, path: str, why: OSError) -> None:
        self.count += 1
        if len(self.first) < _SHOWN:
            self.first[path] = str(why)


def run(store: Store, paths: HomePaths, before: datetime, pace: Pace) -> int:
    """Remove the files of pictures that were deleted at `before` or earlier; how many pictures.

    Their rows stay, so that an id is never given to another picture.

    Raises:
        JobCancelled: it was to end; the next run goes on from there.
        StoreError: the database failed.
    """
    swept = 0
    with _told() as left:
        _finish(store, paths.root, left)
        while batch := store.files.deleted(before, BATCH):
            pace.check()
            # Not the whole list: of each file that cannot be removed, that would be another try.
            doomed = store.files.doom([original.seq for original in batch])
            _remove(store, paths.root, doomed, left)
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
    with _told() as left:
        _finish(store, home, left)


@contextlib.contextmanager
def _told() -> Iterator[_Left]:
    """What is left behind in the block is logged in one line, however it ends."""
    left = _Left()
    try:
        yield left
    finally:
        if left.count:
            _log.warning("files_not_removed", count=left.count, first=left.first)


def _finish(store: Store, home: Path, left: _Left) -> None:
    """See `finish`."""
    after = ""
    while doomed := store.files.doomed(BATCH, after):
        _remove(store, home, doomed, left)
        after = doomed[-1]


def _remove(store: Store, home: Path, doomed: Sequence[str], left: _Left) -> None:
    """Remove files that are on the list, and take them off it; each is tried once."""
    store.database.check_in_place()
    # A file can be of use to two pictures, such as one that both were made from.
    kept = store.files.named(doomed)
    gone = {path for path in sorted(set(doomed) - kept) if _unlink(home, path, left)}
    _sync({(home / path).parent for path in gone})
    if gone | kept:
        store.files.forget_doomed(sorted(gone | kept))


def _unlink(home: Path, path: str, left: _Left) -> bool:
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
        left.add(path, error)
        return False
    return True


def _sync(folders: Iterable[Path]) -> None:
    for folder in folders:
        if folder.is_dir():
            durable.sync_folder(folder)
