"""Searching pictures, and keeping the index that makes it quick."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from mysticanvas.contracts.filters import ImageFilters
from mysticanvas.contracts.params import refused
from mysticanvas.contracts.search import SearchSort
from mysticanvas.errors import StoreBusy, StoreError
from mysticanvas.store import filters as conditions, queries
from mysticanvas.store.connection import Database
from mysticanvas.store.filters import TagIds
from mysticanvas.store.search import bm25, plan as plans, query as queried, ranking, tail as tails
from mysticanvas.store.search.maintenance import FORMAT, Maintenance
from mysticanvas.store.search.position import Position
from mysticanvas.store.search.query import Query
from mysticanvas.store.search.ranking import Found
from mysticanvas.store.search.stems import Stems
from mysticanvas.store.search.tail import Tail

MAX_PAGE = 1000
MAX_VARIANTS = 1000
"""Words that a prefix may stand for."""
CATCH_UP_S = 1.0
"""What a search gives to an index that is far behind, before it is refused."""
_TRIES = 20
_SQL = queries.load("search")


class RankedPage(NamedTuple):
    """A page of a search."""

    seqs: list[int]
    scores: list[float | None]
    """Of each of them; None where nothing was ranked."""
    next_cursor: str | None
    total: int


class Search:
    """Pictures by their words; for use from any thread.

    Args:
        tag_ids: names of tags -> their ids.
        stemmer: a name that DuckDB's extension knows, such as `porter`; `none` for none. Another
            one than before makes the index anew.
    """

    def __init__(self, database: Database, tag_ids: TagIds, stemmer: str) -> None:
        self._database = database
        self._tag_ids = tag_ids
        self._stems = Stems(database, stemmer)
        self._maintenance = Maintenance(database, self._stems)
        self._reading = threading.Lock()
        self._tail: Tail | None = None
        self._frequent: set[int] = set()

    def search(
        self,
        text: str,
        limit: int = 50,
        cursor: str | None = None,
        filters: ImageFilters | None = None,
        sort: SearchSort = "best",
    ) -> RankedPage:
        """A page of what a query finds.

        The pages of a search stay what they were on page one while pictures come and the index is
        maintained; pictures that came meanwhile are on none.

        Args:
            text: see `mysticanvas.store.search.query` for what it may hold.
            limit: 1 to 1000 pictures.
            cursor: `next_cursor` of the page before, of the same text, filters and order.
            filters: conditions that all pictures meet.
            sort: which come first; the best are the newest where there is nothing to rank by.

        Raises:
            InvalidRequest: an argument is not allowed.
            StoreBusy: the index is far behind, and being made; says how much is left.
            StoreError: the database could not answer.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise refused("limit", limit, f"1 to {MAX_PAGE}")
        query = queried.parse(text, filters or ImageFilters())
        bound = self._bound(query, sort)
        start = None if cursor is None else Position.decode(cursor, bound)
        found = self._found(query, start, limit + 1, sort)
        hits = found.hits[:limit]
        following = None
        if len(found.hits) > limit:
            score, seq = hits[-1]
            following = found.position._replace(score=score, seq=seq).encode(bound)
        return RankedPage(
            seqs=[seq for _, seq in hits],
            scores=[score / bm25.UNIT if query.ranked else None for score, _ in hits],
            next_cursor=following,
            total=found.position.total,
        )

    def behind(self) -> bool:
        """Whether `maintain` has something to do.

        Raises:
            StoreError: the database could not answer.
        """
        return self._maintenance.behind()

    def maintain(self, budget_s: float = 0.0) -> bool:
        """Bring the index nearer to the pictures, a step at least if one is due.

        It holds up neither searches nor the writer. Call it after pictures came or changed, and
        until it says that nothing is left.

        Args:
            budget_s: seconds, after which no other step is begun.

        Returns:
            Whether there is more to do.

        Raises:
            StoreError: a step failed; the index is as it was before it.
        """
        return self._maintenance.run(budget_s)

    def _found(self, query: Query, start: Position | None, limit: int, sort: SearchSort) -> Found:
        if query.vain:
            return Found([], Position(horizon=0))
        empty = query.filters == ImageFilters()
        clause = conditions.where(query.filters, self._tag_ids)
        tail = self._newest_tail()
        for _ in range(_TRIES):
            expand = functools.partial(self._words, tail)
            plan = plans.make(query, self._stems.of, expand)
            if query.ranked:
                restriction = None if empty else clause
                found = ranking.ranked(
                    self._database.read, plan, tail, restriction, start, limit, self._frequent, sort
                )
            else:
                by_time = "newest" if sort == "best" else sort
                found = ranking.listed(
                    self._database.read, plan, tail, clause, start, limit, by_time
                )
            if found is not None:
                return found
            tail = self._newest_tail(outdated=tail)
        raise StoreError("The search index changes too quickly.", hint="Try again.")

    def _newest_tail(self, outdated: Tail | None = None) -> Tail:
        """The tail as of now, or later; what was committed before this call is in it.

        Args:
            outdated: one that the index is past, though nothing may have been counted yet.

        Raises:
            StoreBusy: it is too long, and stayed so although this search helped to index it.
        """
        self._maintenance.prepare()
        try:
            return self._read_tail(outdated)
        except tails.TooLong:
            # Not while others are kept from reading it: they would wait in a row.
            self._maintenance.run(CATCH_UP_S, CATCH_UP_S)
        try:
            return self._read_tail(outdated)
        except tails.TooLong as error:
            raise StoreBusy(
                f"The search index is being made; {error.images:,} pictures are not in it yet.",
                hint="Search again in a while: the number goes down. All else works meanwhile.",
            ) from None

    def _read_tail(self, outdated: Tail | None) -> Tail:
        with self._reading:
            commits = self._database.commits
            tail = self._tail
            if tail is None or tail is outdated or tail.commits != commits:
                with self._database.snapshot() as snapshot:
                    tail = tails.read(snapshot.run, self._stems.of, commits, tail)
                self._tail = tail
            return tail

    def _words(self, tail: Tail, prefix: str) -> Sequence[str]:
        """The words that start so, in the index and in the tail."""
        rows = self._database.read(_SQL["words"], prefix=prefix, limit=MAX_VARIANTS + 1)
        found = {row["word"] for row in rows}
        found |= {
            word
            for entry in tail.entries.values()
            for word in entry.words
            if word.startswith(prefix)
        }
        if len(found) > MAX_VARIANTS:
            allowed = f"a prefix of at most {MAX_VARIANTS:,} words"
            raise refused("text", f"{prefix}*", allowed, "Give more of its letters.")
        return sorted(found)

    def _bound(self, query: Query, sort: SearchSort) -> dict[str, Any]:
        """What a cursor is bound to: the query as it was read, and how words are indexed."""
        return {
            "wanted": query.wanted._asdict(),
            "unwanted": query.unwanted._asdict(),
            "filters": query.filters.model_dump(mode="json", exclude_defaults=True),
            "sort": sort,
            "stemmer": self._stems.stemmer,
            "format": FORMAT,
        }
