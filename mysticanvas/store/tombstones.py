"""Which pictures were deleted although their files are still there, kept beside those files.

The database knows it too. This list is for the day when the database is lost and the store is built
again from the files alone: what was deleted must not come back.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from mysticanvas import durable

_NAME = "deleted.txt"
_CHANGING = threading.Lock()
"""Held while the list is changed; only the process that has the store does that."""


def add(images_folder: Path, image_ids: Iterable[str]) -> None:
    """Put ids on the list, so that they last."""
    path = images_folder / _NAME
    with _CHANGING:
        existed = path.exists()
        with path.open("a", encoding="ascii") as file:
            # Whatever a crash left of an earlier line must not swallow the first of these.
            file.write("".join(f"\n{image_id}" for image_id in image_ids) + "\n")
            file.flush()
            os.fsync(file.fileno())
        if not existed:
            durable.sync_folder(images_folder)


def read(images_folder: Path) -> set[str]:
    """The ids on the list."""
    try:
        return set((images_folder / _NAME).read_text("ascii", errors="replace").split())
    except FileNotFoundError:
        return set()


def replace(images_folder: Path, choose: Callable[[set[str]], Iterable[str]]) -> None:
    """Have the list hold other ids.

    Args:
        choose: given those that it holds, says which it is to hold. What is added at the same time
            waits, so that it is in neither and stays.
    """
    with _CHANGING:
        before = read(images_folder)
        after = set(choose(before))
        if after != before:
            content = "".join(f"{each}\n" for each in after).encode()
            durable.replace(images_folder / _NAME, content)
