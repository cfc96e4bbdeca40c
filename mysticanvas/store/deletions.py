"""What was deleted and what was brought back since a backup was made, once it is in place.

The list beside the image files (`tombstones`) is newer than any backup, so it decides.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from mysticanvas.store import tombstones
from mysticanvas.store.store import Store


class Caught(NamedTuple):
    """How many pictures a database had otherwise than the folder of image files."""

    deleted: int
    """Pictures that were deleted since, and are so again."""
    back: int
    """Pictures that were brought back since, and are so again."""
    missing: int
    """Pictures that it shows and whose files are gone: removed since, or lost, which nobody can
    tell; so they are left to the doctor."""


def catch_up(store: Store, images_folder: Path, home: Path, at_work: Callable[[], None]) -> Caught:
    """Have the rows say what the list of deleted pictures says.

    It can be done again from the start, wherever it was killed. What is deleted has its whole grace
    from now on.

    Args:
        home: what the recorded paths are relative to.
        at_work: called for each file that is looked for.

    Raises:
        StoreError: the database failed.
    """
    with tombstones.CHANGING:
        deleted = back = list[str]()
        if tombstones.kept(images_folder):
            listed = tombstones.read(images_folder)
            deleted = store.images.delete(sorted(listed))
            back = store.images.restore(_brought_back(store, listed, home, at_work))
    return Caught(len(deleted), len(back), _missing(store, home, at_work))


def _brought_back(
    store: Store, listed: set[str], home: Path, at_work: Callable[[], None]
) -> list[str]:
    """Pictures that are deleted in the database and not on the list, though their files are there.

    The next sweep would remove these files.
    """
    back = []
    for picture in store.files.deleted(datetime.now(UTC)):
        at_work()
        if picture.id not in listed and (home / picture.path).is_file():
            back.append(picture.id)
    return back


def _missing(store: Store, home: Path, at_work: Callable[[], None]) -> int:
    missing = 0
    for file in store.files.walk():
        at_work()
        missing += file.kind == "original" and not (home / file.path).is_file()
    return missing
