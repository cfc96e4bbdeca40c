"""Locks between processes, which the system gives back when a process ends."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path
from typing import Self

_POLL_S = 0.02
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


def flock(fd: int) -> None:
    """The system's call for an exclusive lock, without waiting."""
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


class LocksDoNotHold(OSError):
    """A file system takes locks and does not keep others out, or takes none at all."""


class FileLock:
    """An exclusive `flock` on a file of its own, held until released or until the process ends.

    The descriptor is not inherited: a child that kept it would keep the lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self, timeout_s: float = 0.0) -> bool:
        """Take the lock within `timeout_s` seconds; whether it is held now.

        Raises:
            LocksDoNotHold: the file system has no locks that are worth the name.
        """
        if self._fd is not None:
            return True
        deadline = time.monotonic() + timeout_s
        fd = self._open()
        try:
            while not self._lock(fd):
                if time.monotonic() > deadline:
                    os.close(fd)
                    return False
                time.sleep(_POLL_S)
            self._probe()
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return True

    def _open(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _lock(self, fd: int) -> bool:
        try:
            flock(fd)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            if error.errno in _NO_LOCKS:
                raise LocksDoNotHold(error.errno, error.strerror, str(self.path)) from error
            raise
        return True

    def _probe(self) -> None:
        """See that the lock, which we have, is refused to another descriptor."""
        fd = self._open()
        try:
            if self._lock(fd):
                said = "the file system gives one lock to two"
                raise LocksDoNotHold(errno.ENOLCK, said, str(self.path))
        finally:
            os.close(fd)

    def write(self, text: str) -> None:
        """Leave a note for whoever finds the lock taken. The lock must be held."""
        assert self._fd is not None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, text.encode(), 0)

    def in_place(self) -> bool:
        """Whether the path still leads to the file that we hold: where that was deleted, with its
        folder say, the lock keeps nobody out. False if it is not held.

        What cannot be looked at is not taken for gone.
        """
        if self._fd is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._fd), self.path.stat())
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True

    def release(self) -> None:
        """Give the lock back; harmless if it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        if not self.acquire():
            raise BlockingIOError(f"{self.path} is locked")
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
