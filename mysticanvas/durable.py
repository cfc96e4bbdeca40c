"""Files that last: a reader and a crash meet the old content or the new, never a part of it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

TEMPORARY = ".tmp"
"""How a name ends that a file has until it is whole; a kill can leave such a file behind."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where there is no room: on the disk, in a quota, or for so large a file."""


def is_full(error: BaseException) -> bool:
    """Whether something could not be written because there is no room for it."""
    return isinstance(error, OSError) and error.errno in FULL


def replace(path: Path, content: bytes, still: Callable[[], bool] = lambda: True) -> None:
    """Put `content` in the file's place at once, so that it lasts; readable by the user alone.

    Args:
        still: asked when the content is beside the place that it is to take; nothing is replaced if
            it says no. A folder that is deleted and made again behind that has no such content.

    Raises:
        OSError: it could not be done; what was there is unchanged.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=TEMPORARY)
    os.close(handle)
    fresh = Path(name)
    try:
        write(fresh, content)
        if not still():
            fresh.unlink()
            return
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write(path: Path, content: bytes) -> None:
    """Write a file whose content lasts; its name does once the folder is synced."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Make a file's content last that others have written."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make new names in a folder last."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def clone(source: Path, target: Path) -> bool:
    """Make a copy that shares the blocks of the original, which takes no time and no room; whether
    the file system can.

    By a program of its own: closing a file here would drop the POSIX locks that this process has
    on it, by whatever means they were taken.
    """
    how = "-c" if sys.platform == "darwin" else "--reflink=always"
    try:
        ended = subprocess.run(["cp", how, source, target], capture_output=True, check=False)
    except OSError:
        return False
    if ended.returncode != 0:
        # What cp made before it knew better.
        target.unlink(missing_ok=True)
    return ended.returncode == 0
