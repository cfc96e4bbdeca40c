"""Fetches one file into the cache of the hub, going on where an earlier process was stopped.

The hub's own library begins a file anew for each process, under a name that no other knows. So the
bytes are brought here, under the name of their digest; what the library does with a file that is
there already, links to it and the rest of its layout, is left to it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from huggingface_hub import constants, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # is public

from mysticanvas.errors import ModelFileError
from mysticanvas.workers.hub import repository
from mysticanvas.workers.hub.selection import RepoFile

PARTIAL = ".mysticanvas.incomplete"
CHUNK_BYTES = 1 << 20
"""Written at a time, and lost at most when the process is killed."""
_NO_SUCH_RANGE = 416
Told = Callable[[int], None]


def there_bytes(blobs: Path, file: RepoFile) -> int:
    """How many bytes of a file are there."""
    if (blobs / file.digest).exists():
        return file.size
    return _size(_partial(blobs, file))


def fetch(
    repo_id: str, commit: str, file: RepoFile, blobs: Path, told: Told, pause_s: float
) -> None:
    """Have a file there as a whole, under the name of its digest.

    Args:
        blobs: folder of the repository in the cache.
        told: is given how many bytes are there, whenever some came.
        pause_s: as in `repository.patiently`.

    Raises:
        ModelFileError: what the hub sends is not what it says of the file.
        Exception: whatever the library raises.
    """
    target, partial = blobs / file.digest, _partial(blobs, file)
    for last in (False, True):
        if target.exists():
            break
        repository.patiently(
            lambda: _go_on(repo_id, commit, file, partial, told), pause_s, lambda: _size(partial)
        )
        if _digest(partial, len(file.digest)) == file.digest:
            partial.replace(target)
        else:
            # Bytes of an earlier time, say; only what has just come whole counts against the hub.
            partial.unlink()
            if last:
                raise _unlike(repo_id, file, "other bytes")
    told(file.size)


def _go_on(repo_id: str, commit: str, file: RepoFile, partial: Path, told: Told) -> None:
    constants.DOWNLOAD_CHUNK_SIZE = CHUNK_BYTES
    partial.touch()
    with partial.open("r+b", buffering=0) as out:
        if (there := out.seek(0, os.SEEK_END)) > file.size:
            there = 0
            out.seek(0)
            out.truncate()
        try:
            http_get(
                hf_hub_url(repo_id, file.name, revision=commit),
                _Watched(out, told),  # type: ignore[arg-type]  # all that is used of a file
                resume_size=there,
                headers=build_hf_headers(),
                expected_size=file.size,
            )
        except HfHubHTTPError as error:
            if error.response.status_code == _NO_SUCH_RANGE:
                raise _unlike(repo_id, file, "fewer bytes") from error
            raise
        except OSError as error:
            # The library's word for another number of bytes than there should be has no errno.
            if error.errno is None and _size(partial) < file.size:
                raise repository.Short(f"{file.name} broke off") from error
            if error.errno is None and _size(partial) > file.size:
                partial.unlink()
                raise _unlike(repo_id, file, "more bytes") from error
            raise
        os.fsync(out.fileno())


class _Watched:
    """A file that tells how far it is."""

    def __init__(self, file: Any, told: Told) -> None:
        self._file: BinaryIO = file
        self._told = told

    def write(self, chunk: bytes) -> int:
        count = self._file.write(chunk)
        self._told(self._file.tell())
        return count

    def seek(self, offset: int) -> int:
        return self._file.seek(offset)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self) -> int:
        return self._file.truncate()


def _digest(path: Path, digits: int) -> str:
    """As the hub tells it: SHA-256 of the bytes, or git's SHA-1, which has 40 digits."""
    with path.open("rb") as file:
        if digits != 40:
            return hashlib.file_digest(file, "sha256").hexdigest()
        sha1 = hashlib.sha1(f"blob {_size(path)}\0".encode(), usedforsecurity=False)
        while chunk := file.read(CHUNK_BYTES):
            sha1.update(chunk)
        return sha1.hexdigest()


def _partial(blobs: Path, file: RepoFile) -> Path:
    return blobs / f"{file.digest}{PARTIAL}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _unlike(repo_id: str, file: RepoFile, what: str) -> ModelFileError:
    return ModelFileError(
        f"{file.name} of {repo_id!r}: the hub sends {what} than it says of the file.",
        hint="Pull again in a while. If it stays so, a proxy between may change what is sent.",
    )
