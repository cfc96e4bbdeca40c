"""Digests of model files, kept for as long as a file looks unchanged."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

from mysticanvas.contracts import paths
from mysticanvas.contracts.model_files import HashedFile
from mysticanvas.errors import ModelFileError
from mysticanvas.store import queries, times
from mysticanvas.store.connection import Database

_SQL = queries.load("model_files")


class ModelFiles:
    """SHA-256 of files, by path."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # In front of the table: every job asks for every file of its model.
        self._seen: dict[str, tuple[dict[str, int], str]] = {}
        self._turns: dict[str, threading.Lock] = {}

    def known(self, path: Path) -> str | None:
        """SHA-256 of a file, if it is known without reading it; None otherwise.

        Raises:
            ModelFileError: its path is no text.
        """
        found = self._known(path)
        return None if found is None else found.sha256

    def paths(self, sha256: str) -> list[Path]:
        """Where files of that content were when somebody looked, the newest first."""
        rows = self._database.read(_SQL["places"], sha256=sha256)
        return [Path(str(row["path"])) for row in rows]

    def sha256(self, path: Path) -> str:
        """SHA-256 of a file, as 64 hexadecimal digits.

        Raises:
            ModelFileError: as `hashed`.
        """
        return self.hashed(path).sha256

    def hashed(self, path: Path) -> HashedFile:
        """A file with its digest, and how it looked when it had that.

        It is read only if size, modification time or inode are not those of the last time, and
        only once for all who ask at the same time.

        Raises:
            ModelFileError: the file cannot be read, changes while it is, or has a path that is no
                text.
        """
        if (known := self._known(path)) is not None:
            return known
        with self._turns.setdefault(_name(path), threading.Lock()):
            # Whoever had the turn before may have read it.
            return self._known(path) or self._read(path)

    def _read(self, path: Path) -> HashedFile:
        name = _name(path)
        try:
            with path.open("rb") as file:
                before = _looks(os.fstat(file.fileno()))
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                after = _looks(os.fstat(file.fileno()))
        except OSError as error:
            raise ModelFileError(
                f"{path} cannot be read: {error.strerror}.", hint="Check that it is there."
            ) from error
        if before != after:
            raise ModelFileError(
                f"{path} changed while it was read.", hint="Try again when it is complete."
            )
        with self._database.write() as transaction:
            transaction.run(_SQL["save"], path=name, sha256=digest, now=times.now(), **after)
        self._seen[name] = after, digest
        return HashedFile(path=name, sha256=digest, **after)

    def _known(self, path: Path) -> HashedFile | None:
        name = _name(path)
        try:
            looks = _looks(path.stat())
        except OSError:
            return None
        known = self._remembered(name, looks)
        return None if known is None else HashedFile(path=name, sha256=known, **looks)

    def _remembered(self, name: str, looks: dict[str, int]) -> str | None:
        if name in self._seen and self._seen[name][0] == looks:
            return self._seen[name][1]
        known = self._database.read(_SQL["known"], path=name, **looks)
        if not known:
            return None
        self._seen[name] = looks, str(known[0]["sha256"])
        return self._seen[name][1]


def _name(path: Path) -> str:
    """What a file is known by."""
    if not paths.is_text(path):
        raise ModelFileError(
            f"The name of {paths.shown(path)} is not UTF-8, so its digest cannot be kept.",
            hint="Rename the file or, if the model does not need it, move it elsewhere.",
        )
    return str(path.absolute())


def _looks(status: os.stat_result) -> dict[str, int]:
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "inode": status.st_ino}
