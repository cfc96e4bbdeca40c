"""Who has the store of a home, as far as can be told from outside."""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path

import psutil

from mysticanvas.home import HomePaths
from mysticanvas.locks import FileLock
from mysticanvas.processes import Identity
from mysticanvas.session import starting


def noted(paths: HomePaths) -> int | None:
    """The process that has the store, as it has written down; None if it has not."""
    try:
        return int(paths.store_lock.read_text())
    except (OSError, ValueError):
        return None


def exists(pid: int) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def is_free(path: Path) -> bool:
    """Whether nobody has a lock; it is taken for a moment."""
    lock = FileLock(path)
    with lock if (free := lock.acquire()) else contextlib.nullcontext():
        return free


def orchestrator(paths: HomePaths) -> Identity | None:
    """The process that has the store, if it is an orchestrator of this home beyond doubt: it was
    started as one, and has the lock's file open. A number alone may be another's by now, or one on
    another machine."""
    pid = noted(paths)
    if pid is None:
        return None
    try:
        identity = Identity.of(pid)
        process = psutil.Process(pid)
        command = process.cmdline()
        opened = [file.path for file in process.open_files()]
    except psutil.Error:
        return None
    surely = _serves(command, paths.root) and os.path.realpath(paths.store_lock) in opened
    return identity if surely and identity.alive() else None


def _serves(command: list[str], home: Path) -> bool:
    """Whether a command line is that of a home's orchestrator."""
    pairs = set(itertools.pairwise(command))
    homes = [value for name, value in pairs if name == "--home"]
    return ("-m", starting.MODULE) in pairs and any(
        os.path.realpath(given) == os.path.realpath(home) for given in homes
    )
