"""The store as a whole: opened once a home, a noun for each kind of thing in it."""

from __future__ import annotations

import contextlib
from typing import Self

from mysticanvas import logs
from mysticanvas.contracts.presets import ImagePreset, LLMPreset
from mysticanvas.errors import StoreError
from mysticanvas.home import HomePaths
from mysticanvas.store import opener, queries
from mysticanvas.store.backups import Backups
from mysticanvas.store.connection import Database
from mysticanvas.store.facts import Facts
from mysticanvas.store.files import Files
from mysticanvas.store.high_water import HighWater, Mark
from mysticanvas.store.images import Images
from mysticanvas.store.jobs import Jobs
from mysticanvas.store.measurements import Measurements
from mysticanvas.store.model_files import ModelFiles
from mysticanvas.store.presets import Presets
from mysticanvas.store.profiles import ModelProfiles
from mysticanvas.store.search import Search
from mysticanvas.store.tags import Tags

_log = logs.get(__name__)
_SQL = queries.load("opening")


class Store:
    """Jobs, images, tags, presets, facts, model files and what is known of memory, of one home; for
    use from any thread.

    `Store.open` is how to get one.
    """

    def __init__(self, paths: HomePaths, opened: opener.Opened, stemmer: str) -> None:
        self.versions = opened.versions
        """The schema version that the database had, 0 for none, and the one that it has."""
        self.database = Database(opened.connection, paths.database, opened.lock.in_place)
        self._lock = opened.lock
        self._high_water = HighWater(paths.high_water, self._measure, self.in_place)
        self._closed = False
        self.tags = Tags(self.database)
        self.images = Images(self.database, self.tags.ids)
        self.files = Files(self.database)
        self.measurements = Measurements(self.database)
        self.jobs = Jobs(self.database, self.images, self.measurements)
        self.facts = Facts(self.database)
        self.presets = Presets(self.database, ImagePreset)
        self.llm_presets = Presets(self.database, LLMPreset)
        self.model_files = ModelFiles(self.database)
        self.profiles = ModelProfiles(self.database)
        self.search = Search(self.database, self.tags.ids, stemmer)
        self.backups = Backups(self.database, paths)

    @classmethod
    def open(
        cls,
        paths: HomePaths,
        memory_limit_mib: int = opener.MEMORY_LIMIT_MIB,
        stemmer: str = "porter",
    ) -> Self:
        """Open the store of a home, or create it.

        Args:
            memory_limit_mib: MiB that the database may take.
            stemmer: of the full-text search, see there.

        Raises:
            StoreLocked, StoreTooNew, StoreDamaged, StoreFull, StoreError: as `open_database`.
        """
        store = cls(paths, opener.open_database(paths, memory_limit_mib), stemmer)
        store.raise_high_water()
        return store

    def in_place(self) -> bool:
        """Whether the home is still the one that the store was opened in. Once that was deleted,
        whatever has its path is another's: nothing is recorded, and no file there is touched."""
        return self._lock.in_place()

    def raise_high_water(self) -> None:
        """Bring the high-water mark up to what is committed; what came since could be lost with
        the write-ahead log and nobody would notice."""
        if self.in_place():
            self._high_water.update()

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database file, and raise the high-water mark.

        Raises:
            StoreError: it could not be done; no row is lost by that.
        """
        self.database.checkpoint()
        self.raise_high_water()

    def close(self) -> None:
        """Checkpoint, and give the file and its lock back; harmless if it is closed."""
        if self._closed:
            return
        self._closed = True
        try:
            with contextlib.suppress(StoreError):
                self.checkpoint()
        finally:
            self.database.close()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _measure(self) -> Mark:
        return Mark(**self.database.read(_SQL["mark"])[0])
