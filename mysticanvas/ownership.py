"""Whose the folders and files of a home are, and that they are nobody else's to read."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

_former: int | None = None
"""The mask that this process was started with, while it has another."""


@contextlib.contextmanager
def private() -> Iterator[None]:
    """Have whatever this process makes meanwhile be for the user alone: a database makes its log
    anew by itself, with the mode that the mask leaves."""
    global _former
    _former = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(_former)
        _former = None


def mask_of_children() -> int:
    """The mask for a child, as `subprocess` takes it: the user's own, since it may write to folders
    that he shares with others, such as a cache of models."""
    return -1 if _former is None else _former


def take(folders: Iterable[Path], files: Iterable[Path]) -> None:
    """Make folders for the user alone. One that is there already and empty becomes so; one that
    has something in it stays as it is, since it may be open to others on purpose; files that are
    there do not.

    Raises:
        OSError: a folder cannot be made.
    """
    for folder in folders:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            _close(folder, 0o700)
    for file in files:
        _close(file, 0o600)


def _close(path: Path, mode: int) -> None:
    # What is not there, root's, or on a file system without modes stays as it is.
    with contextlib.suppress(OSError):
        if stat.S_IMODE(path.stat().st_mode) & ~mode:
            path.chmod(mode)


def check(*paths: Path) -> None:
    """Refuse folders and files that a stranger made, who can read what is put there, or put there
    what we would read. What is not there is nobody's.

    Raises:
        PermissionError: one is a stranger's.
        OSError: one cannot be looked at.
    """
    for path in paths:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found = path.stat()
            if not trusted(found, path):
                told = f"it belongs to another user (number {found.st_uid})"
                raise PermissionError(errno.EPERM, told, str(path))


def trusted(found: os.stat_result, path: Path) -> bool:
    """Whether what was found at a path is no stranger's: ours or root's.

    Root takes what is anybody's, such as the home that a container was given, but where everybody
    could have made it. And a file system may know us by another number than the system does, as
    one of the network does: there, we are who new files belong to.
    """
    us = os.geteuid()
    if found.st_uid in (us, 0):
        return True
    if us == 0:
        return not path.parent.stat().st_mode & stat.S_IWOTH
    return _known_as(path if stat.S_ISDIR(found.st_mode) else path.parent) == found.st_uid


def _known_as(folder: Path) -> int | None:
    """To whom a new file in a folder belongs; None if there can be none."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_uid
    except OSError:
        return None
