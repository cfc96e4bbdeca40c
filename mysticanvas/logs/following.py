"""New lines of logs as they are written, over any number of rotations."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from mysticanvas.logs import reading
from mysticanvas.logs.file import KEPT_FILES, rotated
from mysticanvas.logs.reading import Entry


class Tail:
    """What is added to one log.

    Args:
        log: its path; it need not exist.
        from_end: whether what is there already is passed over.
    """

    def __init__(self, log: Path, from_end: bool) -> None:
        self._log = log
        self._rest = b""
        self._file = _opened(log)
        if self._file is not None and from_end:
            self._file.seek(0, os.SEEK_END)

    def read(self) -> list[bytes]:
        """The whole lines that were added since the last call."""
        self._file = self._file or _opened(self._log)
        added: list[bytes] = []
        while self._file is not None:
            added += self._new_lines(self._file)
            newer = self._newer(self._file)
            if newer is None:
                break
            # Its last lines may have come between our reading and its rotation.
            added += self._new_lines(self._file)
            self._file.close()
            self._file, self._rest = newer, b""
        return added

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def _new_lines(self, file: BinaryIO) -> list[bytes]:
        *lines, self._rest = (self._rest + file.read()).split(b"\n")
        return lines

    def _newer(self, file: BinaryIO) -> BinaryIO | None:
        """The part that follows this one; None if this is the newest."""
        ours = os.fstat(file.fileno())
        following = None
        for path in rotated(self._log, KEPT_FILES):
            part = _opened(path)
            if part is None:
                continue
            if os.path.samestat(os.fstat(part.fileno()), ours):
                part.close()
                return following
            if following is not None:
                following.close()
            following = part
        # Ours is gone for good, so all that are there are newer.
        return following


class Following:
    """All logs of a folder, those that come later among them.

    Args:
        folder: where they are; lines that are there already are passed over.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tails = {log: Tail(log, from_end=True) for log in reading.logs(folder)}

    def read(self) -> list[Entry]:
        """The lines that were added since the last call, in order."""
        for log in reading.logs(self._folder):
            if log not in self._tails:
                self._tails[log] = Tail(log, from_end=False)
        return reading.in_order(
            [entry for raw in tail.read() if (entry := Entry.of(raw))]
            for tail in self._tails.values()
        )

    def close(self) -> None:
        """Let go of the files."""
        for tail in self._tails.values():
            tail.close()


def _opened(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None
