"""Which pictures were deleted although their files are still there, kept beside those files.

The database knows it too. This list is for the day when the database is lost and the store is built
again from the files alone, or from a backup: what was deleted must not come back. A picture that is
back must not be on it, for the same reason: so whoever deletes one puts it on the list behind that,
whoever brings one back takes it off before, and both hold `CHANGING` for the two steps.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from mysticanvas import durable
from mysticanvas.store import failures, parts

_NAME = "deleted.txt"
CHANGING = threading.RLock()
"""Held while the list is changed; only the process that has the store does that."""


def add(images_folder: Path, image_ids: Collection[str]) -> None:
    """Put ids on the list, so that they last.

    Raises:
        StoreFull: the disk is full.
        StoreError: the list cannot be written.
    """
    if not image_ids:
        return
    path = images_folder / _NAME
    with CHANGING, _told(path):
        existed = path.exists()
        with path.open("a", encoding="ascii") as file:
            # Whatever a crash left of an earlier line must not swallow the first of these.
            file.write("".join(f"\n{image_id}" for image_id in image_ids) + "\n")
            file.flush()
            os.fsync(file.fileno())
        if not existed:
            durable.sync_folder(images_folder)


def kept(images_folder: Path) -> bool:
    """Whether there is such a list; without one, nobody knows what was deleted or brought back."""
    return (images_folder / _NAME).exists()


def read(images_folder: Path) -> set[str]:
    """The ids on the list; what a crash left of one is none."""
    try:
        lines = (images_folder / _NAME).read_text("ascii", errors="replace").split()
    except FileNotFoundError:
        return set()
    return {full for line in lines if (full := parts.full_id(line))}


def replace(images_folder: Path, choose: Callable[[set[str]], Iterable[str]]) -> None:
    """Have the list hold other ids.

    Args:
        choose: given those that it holds, says which it is to hold. What is added at the same time
            waits, so that it is in neither and stays.

    Raises:
        StoreFull: the disk is full; the list is as it was.
        StoreError: the list cannot be written.
    """
    with CHANGING, _told(images_folder / _NAME):
        before = read(images_folder)
        after = set(choose(before))
        if after != before:
            content = "".join(f"{each}\n" for each in after).encode()
            durable.replace(images_folder / _NAME, content)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Errors of the system as ours."""
    try:
        yield
    except OSError as error:
        raise failures.of_writing(error, path) from error
