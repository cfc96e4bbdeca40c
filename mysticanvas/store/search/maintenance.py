"""The index: building segments, merging them, taking changed pictures in again.

A segment is what DuckDB's extension makes of some pictures at once, in memory. Its postings are
then put in the order of terms and appended to one of three tables, a level each. When a level has
grown enough, it is sorted as a whole and appended to the next as one run; the highest is never
merged, so that no step takes long. Three tables, whatever the number of segments: planning a
statement over a union of tables costs more than reading from them, and within a table the ranges
of its blocks lead to the terms.

Every step is one transaction beside the writer's. What it sees is what it indexes, and the marks
that it sees are the ones that it removes; a kill leaves nothing of it.
"""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from mysticanvas.store import queries
from mysticanvas.store.connection import Database, Transaction
from mysticanvas.store.search import documents
from mysticanvas.store.search.documents import WEIGHTS, Document
from mysticanvas.store.search.stems import Stems

FORMAT = 2
"""Of the index, which holds texts as `text.fold` reads them; one of another format is made anew."""
LEVELS = (16_000, 128_000, None)
"""Images at which a level is merged into the next."""
MIN_BATCH = 200
MAX_BATCH = 1_000
"""Images of a new segment; fewer are left to the tail. Texts go in and out of DuckDB in pieces that
no other thread runs beside, and the slowest of the pages that are asked for meanwhile wait for
them."""
IDLE_BATCH = 4_000
"""The same while nobody asks for anything; it takes a third less time in all."""

_SQL = queries.load("search")
_INDEXED = ("search_postings_0", "search_postings_1", "search_postings_2", "search_texts")


class Due(NamedTuple):
    """The next step; None of both if there is none."""

    batch: bool = False
    merge: int | None = None
    """The level that is to be merged into the next."""


def due(backlog: int, images: dict[int, int]) -> Due:
    """What is to be done next.

    Args:
        backlog: images that are not indexed, or have changed.
        images: level -> the images of its segments.
    """
    # Higher levels first: they make room for those below.
    for level in reversed(range(len(LEVELS))):
        full = LEVELS[level]
        if full is not None and images.get(level, 0) >= full:
            return Due(merge=level)
    return Due(batch=backlog >= MIN_BATCH)


class Maintenance:
    """Keeps the index; one thread at a time, the others wait."""

    def __init__(self, database: Database, stems: Stems) -> None:
        self._database = database
        self._stems = stems
        self._lock = threading.Lock()
        self._prepared = False
        self._asked = database.asked
        """What the database had counted when the segment before was begun."""

    def run(self, budget_s: float, patience_s: float = -1) -> bool:
        """Take steps until nothing is due or the time is over, and one at least.

        Args:
            budget_s: seconds; the step that is under way is finished.
            patience_s: seconds to wait for another thread that is at it; below 0 as long as it
                takes. After that nothing is done.

        Returns:
            Whether there is more to do.
        """
        end = time.monotonic() + budget_s
        if not self._lock.acquire(timeout=patience_s):
            return True
        try:
            self._prepare()
            while (step := self._due()) != Due():
                self._take(step)
                if time.monotonic() >= end:
                    return self._due() != Due()
            return False
        finally:
            self._lock.release()

    def prepare(self) -> None:
        """See that the index is one of this library and stemmer, if need be by emptying it."""
        # Without the lock first: a search does not wait for a step.
        if not self._prepared:
            with self._lock:
                self._prepare()

    def behind(self) -> bool:
        """Whether a step is due."""
        self.prepare()
        return self._due() != Due()

    def _prepare(self) -> None:
        if self._prepared:
            return
        # A store that came back from a backup has no state, and no index.
        states = self._database.read(_SQL["state"])
        known = [(state["stemmer"], state["format"]) for state in states]
        if known != [(self._stems.stemmer, FORMAT)]:
            generation = max((state["generation"] for state in states), default=0) + 1
            with self._database.background() as transaction:
                for level in range(len(LEVELS)):
                    transaction.run(_SQL["empty_postings"].format(level=level))
                for table in ("search_segments", "search_texts", "search_words", "search_state"):
                    transaction.run(_SQL["forget"].format(table=table))
                transaction.run(
                    _SQL["begin_again"],
                    generation=generation,
                    stemmer=self._stems.stemmer,
                    format=FORMAT,
                )
        self._prepared = True

    def _due(self) -> Due:
        with self._database.snapshot() as snapshot:
            state = snapshot.run(_SQL["state"])[0]
            backlog = snapshot.run(_SQL["backlog"], after=state["last_seq"])[0]
            levels = snapshot.run(_SQL["levels"])
        images = {row["level"]: row["images"] for row in levels}
        return due(backlog["newer"] + backlog["changed"], images)

    def _take(self, step: Due) -> None:
        with self._database.background() as transaction:
            if step.merge is None:
                self._build(transaction)
            else:
                _merge(transaction, step.merge)

    def _build(self, transaction: Transaction) -> None:
        """Index the next pictures, changed ones first."""
        state = transaction.run(_SQL["state"])[0]
        after = state["last_seq"]
        size = self._size()
        changed = transaction.run(_SQL["changed"], change=0, limit=size)
        seqs = [row["seq"] for row in changed if row["seq"] <= after]
        room = size - len(seqs)
        fresh = documents.newer(transaction.run, after, room) if room else []
        newest = transaction.run(_SQL["backlog"], after=after)[0]["newest"]
        whole = len(fresh) < room
        last_seq = newest if whole else fresh[-1].seq if fresh else after
        batch = [*documents.some(transaction.run, seqs), *fresh]
        for table in _INDEXED if seqs else ():
            transaction.run(_SQL["remove_from"].format(table=table), seqs=seqs)
        if batch:
            self._index(batch)
            _add(transaction, batch)
            with self._database.scratch() as scratch:
                scratch.run(_SQL["drop_batch"])
        transaction.run(_SQL["remove_marks"], seqs=seqs, after=after, last_seq=last_seq)
        transaction.run(_SQL["advance"], last_seq=last_seq)

    def _size(self) -> int:
        """Images of the next segment."""
        before, self._asked = self._asked, self._database.asked
        return IDLE_BATCH if self._asked == before else MAX_BATCH

    def _index(self, batch: list[Document]) -> None:
        """Have the extension index some pictures, in memory."""
        columns = {field: [document.joined(field) for document in batch] for field in WEIGHTS}
        with self._database.scratch() as scratch:
            scratch.run(
                _SQL["load_batch"],
                seq=[document.seq for document in batch],
                text=[document.text for document in batch],
                **columns,
            )
            scratch.run(_SQL["index_batch"].format(stemmer=self._stems.stemmer))
            scratch.run(_SQL["weigh_batch"], fields=list(WEIGHTS), weights=list(WEIGHTS.values()))


def _add(transaction: Transaction, batch: list[Document]) -> None:
    """Append the segment that was made in memory."""
    transaction.run(_SQL["add_postings"])
    transaction.run(_SQL["add_texts"])
    words = set().union(*(document.words for document in batch))
    transaction.run(_SQL["add_words"], words=sorted(words))
    transaction.run(_SQL["add_segment"], level=0, images=len(batch))


def _merge(transaction: Transaction, level: int) -> None:
    """Make one run of a level, at the end of the next."""
    images = {row["level"]: row["images"] for row in transaction.run(_SQL["levels"])}
    transaction.run(_SQL["merge"].format(level=level, above=level + 1))
    transaction.run(_SQL["empty_postings"].format(level=level))
    transaction.run(_SQL["forget_segments"], level=level)
    transaction.run(_SQL["add_segment"], level=level + 1, images=images[level])
