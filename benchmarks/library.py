"""Made-up collections that are kept between runs, since a million pictures take minutes to make.

What is kept is never measured itself: a run works on one copy, which its parts may change. That of
a million pictures is 4 GB, and as long as it is on its way to the disk, nothing else is quick.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import platformdirs

import mysticanvas
from benchmarks import collection, filling, sqlite
from mysticanvas import Canvas
from mysticanvas.home import HomePaths
from mysticanvas.store import Store
from mysticanvas.store.search.maintenance import FORMAT

_MIGRATIONS = "store/migrations"
"""What decides, beside the generator and the format of the index, how a collection looks in the
store; below the package."""


class Library(NamedTuple):
    """One collection, in a home of ours and in SQLite."""

    home: Path
    sqlite: Path

    @classmethod
    def within(cls, folder: Path) -> Library:
        return cls(folder / "home", folder / "sqlite.db")

    @property
    def paths(self) -> HomePaths:
        return HomePaths.of(self.home)


@contextmanager
def borrowed(images: int) -> Iterator[Library]:
    """The run's copy of the collection with that many pictures, which is made if there is none."""
    kept = _kept(images)
    if not kept.exists():
        _make(kept, images)
    yield Library.within(copied(kept))


@functools.cache
def copied(kept: Path) -> Path:
    """A copy that goes with the process."""
    folder = Path(tempfile.mkdtemp(prefix="copy-", dir=kept.parent))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copy = folder / kept.name
    shutil.copytree(kept, copy)
    os.sync()
    return copy


@contextmanager
def both(images: int) -> Iterator[tuple[Store, sqlite.Peer]]:
    """The open store of such a copy, and the same rows in SQLite."""
    with (
        borrowed(images) as library,
        Store.open(library.paths) as store,
        sqlite.opened(library.sqlite) as peer,
    ):
        yield store, peer


@contextmanager
def canvas(images: int) -> Iterator[Canvas]:
    """A canvas on the home of such a copy; its orchestrator is stopped at the end."""
    with borrowed(images) as library, Canvas(home=library.home) as attached:
        try:
            yield attached
        finally:
            attached.shutdown(force=True)


def _kept(images: int) -> Path:
    cache = Path(platformdirs.user_cache_dir("mysticanvas", appauthor=False)) / "benchmarks"
    return cache / f"{images}-{_checksum()}"


def _checksum() -> str:
    digest = hashlib.sha256(f"{collection.VERSION} {FORMAT}".encode())
    for file in sorted((Path(mysticanvas.__file__).parent / _MIGRATIONS).glob("*.sql")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _make(kept: Path, images: int) -> None:
    print(f"making {images:,} pictures, once, in {kept} …", file=sys.stderr, flush=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="new-", dir=kept.parent) as folder:
        made = Library.within(Path(folder) / kept.name)
        made.home.mkdir(parents=True)
        # It needs what this process forbids itself.
        command = [sys.executable, "-m", filling.__name__, str(made.home), str(images)]
        subprocess.run(command, check=True)
        sqlite.create(made.sqlite, images)
        for outdated in kept.parent.glob(f"{images}-*"):
            shutil.rmtree(outdated)
        made.home.parent.rename(kept)
