"""A log file that is rotated, and that no trouble with the disk keeps anybody from his work."""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path

from mysticanvas.logs import line

MAX_BYTES = 8 << 20
KEPT_FILES = 3


def rotated(path: Path, kept: int = KEPT_FILES) -> list[Path]:
    """Names of a log and of its older parts, the newest first; not all of them need exist."""
    return [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, kept + 1))]


class LogFile:
    """Takes whole lines, on any thread.

    A line that cannot be written is dropped. How many were is said by a line of its own as soon as
    there is room again.

    Args:
        path: the file; it is made with the first line.
        max_bytes: size at which it is renamed to `<name>.1`, what has that name to `<name>.2`, ….
        kept: older parts that are kept.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES, kept: int = KEPT_FILES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._kept = kept
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._size = 0
        self._dropped = 0
        self._reason = ""

    def write(self, content: bytes) -> None:
        """Append a line, which ends in a newline. Never raises for want of a disk."""
        with self._lock:
            try:
                if self._dropped:
                    self._put(self._notice())
                    self._dropped = 0
                self._put(content)
            except OSError as error:
                self._dropped += 1
                self._reason = error.strerror or str(error)

    def close(self) -> None:
        """Let go of the file; the next line opens it again."""
        with self._lock:
            self._let_go()

    def _put(self, content: bytes) -> None:
        if self._fd is None:
            self._open()
        elif not self._is_ours():
            # Another process has rotated it, or somebody has removed it.
            self._let_go()
            self._open()
        if self._size and self._size + len(content) > self._max_bytes:
            self._rotate()
        assert self._fd is not None
        written = os.write(self._fd, content)
        self._size += written
        if written < len(content):
            # The disk is full in mid-line: take the piece back, or the next line would hang on it.
            self._size -= written
            os.ftruncate(self._fd, self._size)
            raise OSError(0, "No room for a whole line")

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(self.path, flags, 0o600)
        self._size = os.fstat(self._fd).st_size

    def _rotate(self) -> None:
        names = rotated(self.path, self._kept)
        for newer, older in reversed(list(itertools.pairwise(names))):
            if newer.exists():
                newer.replace(older)
        self._let_go()
        self._open()

    def _is_ours(self) -> bool:
        """Whether the name still means our file."""
        assert self._fd is not None
        try:
            return os.path.samestat(os.fstat(self._fd), self.path.stat())
        except FileNotFoundError:
            return False

    def _let_go(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _notice(self) -> bytes:
        return line.render(
            self.path.stem,
            "warning",
            "log_lines_dropped",
            lines=self._dropped,
            reason=self._reason,
        )
