"""Pages of pictures: which rows, and in how wide a stretch of the table they are looked for.

A page follows `seq`, which the single writer gives out, so it stays what it is while pictures are
recorded. It is looked for in windows of `seq` that grow until the page is full: DuckDB passes over
the blocks outside of a window, so that a page far down costs what the first one costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
GROWTH = 16
"""How many times wider the next window may be."""
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
        self._down = sort == "newest"
        self._last = last
        if self._down:
            self._place = last + 1 if behind is None else behind
        else:
            self._place = 1 if behind is None else behind + 1

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self._place <= 1 if self._down else self._place > self._last

    def step(self, size: int) -> Window:
        """The next `size` rows."""
        start = self._place
        self._place += -size if self._down else size
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
    limit: int,
) -> Found:
    """The first `limit` cards that meet the filters.

    Args:
        behind: the seq that they come behind; None for the beginning.

    Raises:
        InvalidRequest: a filter is not allowed.
    """
    clause = conditions.where(filters, tag_ids, _SPAN)
    open_ended = behind is None or sort == "oldest"
    last = database.read(_SQL["last_seq"])[0]["seq"] if open_ended else 0
    walk = Walk(sort, behind, last)
    missing = limit + 1
    size = missing + limit // 4 if _is_dense(filters) else FIRST_WINDOW
    rows: dict[int, Row] = {}
    picked: list[int] = []
    while missing > 0 and not walk.done:
        window = walk.step(size)
        if size <= SMALL:
            some = _rows(database, clause, window._asdict())
            rows |= some
            found = len(some)
        else:
            seqs = _pick(database, clause, window, sort, missing)
            picked += seqs
            found = len(seqs)
        size = next_size(size, found, missing)
        missing -= found
    if picked:
        rows |= _rows(database, *_again(clause, picked))
    # What was deleted since it was picked is left out; the way on must not depend on it.
    seqs = sorted({*rows, *picked}, reverse=sort == "newest")
    more = len(seqs) > limit
    del seqs[limit:]
    return Found(_cards(database, rows, seqs), seqs[-1] if more else None)


def cards(database: Database, seqs: Sequence[int]) -> list[ImageCard]:
    """The cards of these rows, in the given order; deleted ones are left out."""
    if not seqs:
        return []
    return _cards(database, _rows(database, *_by_number(seqs)), seqs)


def _is_dense(filters: ImageFilters) -> bool:
    """Whether most pictures can be expected to meet the filters."""
    return filters.model_dump(exclude_defaults=True).keys() <= {"project"}


def _pick(database: Database, clause: Clause, window: Window, sort: Sort, limit: int) -> list[int]:
    order = "DESC" if sort == "newest" else "ASC"
    sql = _SQL["pick"].format(condition=clause.sql, order=order, limit=limit)
    return [row["seq"] for row in database.read(sql, **clause.parameters, **window._asdict())]


def _again(clause: Clause, picked: Sequence[int]) -> tuple[Clause, dict[str, int]]:
    """What gives the picked rows again: the same filters close around them, or their numbers."""
    window = Window(min(picked), max(picked) + 1)
    if window.high - window.low <= FIRST_WINDOW:
        return clause, window._asdict()
    return _by_number(picked)


def _by_number(seqs: Sequence[int]) -> tuple[Clause, dict[str, int]]:
    return Clause(f"{among('image.seq', seqs)} AND image.deleted_at IS NULL", {}), {}


def _rows(database: Database, clause: Clause, window: dict[str, int]) -> dict[int, Row]:
    sql = _SQL["cards"].format(condition=clause.sql)
    return {row["seq"]: row for row in database.read(sql, **clause.parameters, **window)}


def _cards(database: Database, rows: dict[int, Row], seqs: Sequence[int]) -> list[ImageCard]:
    """The cards of these rows, in the given order."""
    if not seqs:
        return []
    sql = _SQL["paths"].format(condition=among("image_seq", seqs, spare=SMALL))
    paths = {file["image_seq"]: file["path"] for file in database.read(sql)}
    return [_card(rows[seq], paths[seq]) for seq in seqs if seq in rows and seq in paths]


def among(column: str, seqs: Sequence[int], spare: int = 0) -> str:
    """The condition that a column is one of these numbers.

    A range says most of it, since DuckDB passes over blocks by a range; a list costs it more than
    a few rows do.

    Args:
        seqs: at least one.
        spare: how many others may meet it too, where they lie between.
    """
    low, high = min(seqs), max(seqs)
    inside = f"{column} >= {low} AND {column} <= {high}"
    if high - low < len(seqs) + spare:
        return inside
    return f"{inside} AND {column} IN ({', '.join(map(str, seqs))})"


def _card(row: Row, path: str) -> ImageCard:
    return ImageCard(**row | {"path": path, "created_at": times.from_db(row["created_at"])})
