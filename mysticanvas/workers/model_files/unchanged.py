"""Files of a model have what they had when their digests were taken: a recipe names those.

Between a request and its job, minutes or days may pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mysticanvas.contracts.model_files import HashedFile
from mysticanvas.errors import ModelFileError


def require(files: Iterable[HashedFile]) -> None:
    """Refuse files that are not what they were.

    Raises:
        ModelFileError: names the first one.
    """
    for each in files:
        if not _is_unchanged(each):
            raise ModelFileError(
                f"{each.path} was replaced, written to or taken away after this was asked for.",
                hint="Ask again: its files then count as they are.",
            )


@contextmanager
def unchanged(files: Iterable[HashedFile]) -> Iterator[None]:
    """Load in the block what has these digests, or fail.

    Raises:
        ModelFileError: a file is not what it was, before the block or behind it.
    """
    files = tuple(files)
    require(files)
    try:
        yield
    finally:
        # Also if it failed: half of one file and half of another looks damaged.
        require(files)


def _is_unchanged(file: HashedFile) -> bool:
    path = Path(file.path)
    try:
        status = path.stat()
        if (status.st_size, status.st_mtime_ns, status.st_ino) == (
            file.size,
            file.mtime_ns,
            file.inode,
        ):
            return True
        # Moved or touched, say, and on some file systems mounted anew.
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256
    except OSError:
        return False
