"""Pages of pictures: which rows, and in how wide a stretch of the table they are looked for.

A page follows `seq`, which the single writer gives out, so it stays what it is while pictures are
recorded. It is looked for in windows of `seq` that grow until the page is full: DuckDB passes over
the blocks outside of a window, so that a page far down costs what the first one costs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence, Set
from typing import NamedTuple

from mysticanvas.contracts.filters import ImageFilters, Sort
from mysticanvas.contracts.images import ImageCard
from mysticanvas.store import filters as conditions, queries, times
from mysticanvas.store.connection import Database, Row
from mysticanvas.store.filters import Clause, TagIds

SMALL = 1024
"""Rows of a window in which cards are read at once; in a wider one the rows are picked first, by
narrow columns, since most of what it held would be read for nothing."""
FIRST_WINDOW = 8192
"""Rows, four of DuckDB's vectors; fewer would hardly cost less."""
GROWTH = 128
"""How many times wider the next window may be. Where four vectors held nothing, a page takes most
of a million rows; and each window is another statement, whose planning takes milliseconds."""
_SPAN = "{seq} >= $low AND {seq} < $high"
_SQL = queries.load("images")


class Window(NamedTuple):
    """A stretch of the table: `low <= seq < high`."""

    low: int
    high: int


class Walk:
    """Goes through the table once, window by window.

    Args:
        sort: `newest` goes down, `oldest` up.
        behind: the seq that it begins behind; None for the very beginning.
        last: the newest seq that there is; it is not needed to go down from somewhere.
    """

    def __init__(self, sort: Sort, behind: int | None, last: int) -> None:
        self.down = sort == "newest"
        self._last = last
        if self.down:
            self._place = last + 1 if behind is None else behind
        else:
            self._place = 1 if behind is None else behind + 1

    @property
    def order(self) -> str:
        """Which way it goes, in SQL."""
        return "DESC" if self.down else "ASC"

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self._place <= 1 if self.down else self._place > self._last

    def step(self, size: int) -> Window:
        """The next `size` rows."""
        start = self._place
        self._place += -size if self.down else size
        return Window(*sorted((start, self._place)))


def next_size(size: int, found: int, missing: int) -> int:
    """How wide the next window is, by what this one gave.

    Args:
        size: rows of the window before.
        found: how many of them met the filters.
        missing: how many are still wanted.
    """
    if not found:
        return size * GROWTH
    # Half as much again, since matches are not spread evenly.
    return min(math.ceil(1.5 * missing * size / found), size * GROWTH)


class Found(NamedTuple):
    """Cards of a page, and the seq to go on behind; None at the end."""

    cards: list[ImageCard]
    behind: int | None


def find(
    database: Database,
    filters: ImageFilters,
    tag_ids: TagIds,
    sort: Sort,
    behind: int | None,
    newest: Callable[[], int],
    limit: int,
) -> Found:
    """The first `limit` cards that meet the filters.

    Args:
        behind: the seq that they come behind; None for the beginning.
        newest: finds the last seq that there is, or a later one.

    Raises:
        InvalidRequest: a filter is not allowed.
    """
    last = newest() if behind is None or sort == "oldest" else 0
    walk = functools.partial(Walk, sort, behind, last)
    if filters.tags and _is_only(filters, "tags", "project"):
        found = _find_tagged(database, filters, tag_ids, walk(), limit)
        if found is not None:
            return found
    return _find(database, filters, tag_ids, walk(), limit)


def _find(
    database: Database, filters: ImageFilters, tag_ids: TagIds, walk: Walk, limit: int
) -> Found:
    """By any filters: what is looked through is the table of pictures."""
    clause = conditions.where(filters, tag_ids, _SPAN)
    missing = limit + 1
    size = missing + limit // 4 if _is_only(filters, "project") else FIRST_WINDOW
    rows: dict[int, Row] = {}
    picked: list[int] = []
    while missing > 0 and not walk.done:
        window = walk.step(size)
        if size <= SMALL:
            some = _rows(database, clause, window._asdict())
            rows |= some
            found = len(some)
        else:
            seqs = _pick(database, clause, window, walk.order, missing)
            picked += seqs
            found = len(seqs)
        size = next_size(size, found, missing)
        missing -= found
    if picked:
        rows |= _rows(database, *_again(clause, picked))
    # What was deleted since it was picked is left out; the way on must not depend on it.
    return _found(rows, {*rows, *picked}, walk, limit)


def _find_tagged(
    database: Database, filters: ImageFilters, tag_ids: TagIds, walk: Walk, limit: int
) -> Found | None:
    """By tags alone: only their table is looked through, and the pictures are fetched by their key.

    Returns:
        The page; None if some pictures with the tags are deleted or of other projects. How many
        is not known, so the table of pictures has to be looked through.
    """
    ids = list(dict.fromkeys(tag_ids(filters.tags)))
    known = [tag_id for tag_id in ids if tag_id is not None]
    if len(known) < len(ids):
        return Found([], None)
    picked: list[int] = []
    size = FIRST_WINDOW
    while len(picked) <= limit and not walk.done:
        window = walk.step(size)
        missing = limit + 1 - len(picked)
        seqs = _pick_tagged(database, known, window, walk.order, missing)
        size = next_size(size, len(seqs), missing)
        picked += seqs
    if not picked:
        return Found([], None)
    others = conditions.where(filters.model_copy(update={"tags": []}), tag_ids)
    rows = _rows(database, _by_number(picked, others), {})
    return _found(rows, set(picked), walk, limit) if len(rows) == len(picked) else None


def _found(rows: Mapping[int, Row], seqs: Set[int], walk: Walk, limit: int) -> Found:
    """The page of what was found at these places, one more than it holds if there are more."""
    ordered = sorted(seqs, reverse=walk.down)
    more = len(ordered) > limit
    del ordered[limit:]
    return Found(_cards(rows, ordered), ordered[-1] if more else None)


def cards(database: Database, seqs: Sequence[int]) -> list[ImageCard]:
    """The cards of these rows, in the given order; deleted ones are left out."""
    if not seqs:
        return []
    there = Clause("image.deleted_at IS NULL", {})
    return _cards(_rows(database, _by_number(seqs, there), {}), seqs)


def _is_only(filters: ImageFilters, *names: str) -> bool:
    """Whether there is no filter but these; most pictures are expected to meet that of project."""
    return filters.model_dump(exclude_defaults=True).keys() <= set(names)


def _pick(database: Database, clause: Clause, window: Window, order: str, limit: int) -> list[int]:
    sql = _SQL["pick"].format(condition=clause.sql, order=order, limit=limit)
    return [row["seq"] for row in database.read(sql, **clause.parameters, **window._asdict())]


def _pick_tagged(
    database: Database, ids: Sequence[int], window: Window, order: str, limit: int
) -> list[int]:
    sql = _SQL["pick_tagged"].format(
        condition=conditions.with_tags(ids, _SPAN.format(seq="image_seq")),
        count=len(ids),
        order=order,
        limit=limit,
    )
    return [row["seq"] for row in database.read(sql, **window._asdict())]


def _again(clause: Clause, picked: Sequence[int]) -> tuple[Clause, dict[str, int]]:
    """What gives the picked rows again: the same filters close around them, or their numbers."""
    window = Window(min(picked), max(picked) + 1)
    if window.high - window.low <= FIRST_WINDOW:
        return clause, window._asdict()
    return _by_number(picked, Clause("image.deleted_at IS NULL", {})), {}


def _by_number(seqs: Sequence[int], clause: Clause) -> Clause:
    """The condition for those of these rows that meet another."""
    return Clause(f"{among('image.seq', seqs)} AND {clause.sql}", clause.parameters)


def _rows(database: Database, clause: Clause, window: Mapping[str, int]) -> dict[int, Row]:
    sql = _SQL["cards"].format(condition=clause.sql)
    return {row["seq"]: row for row in database.read(sql, **clause.parameters, **window)}


def _cards(rows: Mapping[int, Row], seqs: Sequence[int]) -> list[ImageCard]:
    """The cards of these rows, in the given order."""
    return [_card(rows[seq]) for seq in seqs if seq in rows]


def among(column: str, seqs: Sequence[int]) -> str:
    """The condition that a column is one of these numbers.

    A range says most of it, since DuckDB passes over blocks by a range; a list costs it more than
    a few rows do.

    Args:
        seqs: at least one.
    """
    low, high = min(seqs), max(seqs)
    inside = f"{column} >= {low} AND {column} <= {high}"
    if high - low < len(seqs):
        return inside
    return f"{inside} AND {column} IN ({', '.join(map(str, seqs))})"


def _card(row: Row) -> ImageCard:
    return ImageCard(**row | {"created_at": times.from_db(row["created_at"])})
