"""What the figures ask of the store, a function a question.

A part of the store that is not there raises `Absent`, and its figures are left out.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.collection import Entry
from benchmarks.figure import Absent
from benchmarks.turns import Turn
from mysticanvas import Canvas
from mysticanvas.contracts.filters import ImageFilters
from mysticanvas.contracts.images import ImagePage
from mysticanvas.store import Store
from mysticanvas.store.images import CURSORS

PAGE = 50
_LONGEST_PAGE = 1_000
MAINTAIN_S = 0.05
"""Budget of one step of the index's maintenance, as the orchestrator gives it."""


def page(
    store: Store, cursor: str | None = None, limit: int = PAGE, tag: str | None = None
) -> ImagePage:
    """A page of all pictures, or of those with a tag."""
    turn: Callable[..., ImagePage] = store.images.page
    if tag is None:
        return turn(limit, cursor)
    if "filters" not in inspect.signature(turn).parameters:
        raise Absent("the store's pages have no filters")
    return turn(limit, cursor, filters=ImageFilters(tags=[tag]))


def cursors(
    store: Store, skip: int, pages: int, limit: int = PAGE, tag: str | None = None
) -> Iterator[str | None]:
    """The cursors of some full pages in a row, the first of which comes after `skip` pictures.

    Raises:
        ValueError: there are not that many pictures.
    """
    cursor = _behind(store, skip) if tag is None else None
    while skip and tag is not None:
        step = min(skip, _LONGEST_PAGE)
        cursor = page(store, cursor, step, tag).next_cursor
        skip -= step
    for _ in range(pages):
        found = page(store, cursor, limit, tag)
        if len(found.items) < limit:
            raise ValueError(f"There is no full page of {limit} pictures.")
        yield cursor
        cursor = found.next_cursor


def _behind(store: Store, skip: int) -> str | None:
    """The cursor that `skip` pictures lead to, as the store would give it; turning all those pages
    takes a minute."""
    newest = page(store, limit=1).items[0].seq
    return CURSORS.encode((newest - skip + 1,), {"sort": "newest"}) if skip else None


def count(store: Store) -> int:
    """How many pictures there are."""
    images: Any = store.images
    return int(images.count() if hasattr(images, "count") else images.page(1).total)


def search(store: Store, text: str, limit: int = PAGE) -> list[int]:
    """`seq` of the best pictures for some words, any of them."""
    return list(_part(store, "search").search(text, limit).seqs)


def searching(canvas: Canvas, text: str) -> Turn:
    """The same from the kernel, to be asked."""
    if not hasattr(canvas, "search"):
        raise Absent("the canvas has no search")
    return functools.partial(canvas.search, text, limit=PAGE)


def maintain(store: Store, budget_s: float = MAINTAIN_S) -> bool:
    """One step of the index's maintenance; whether there is more to do."""
    return bool(_part(store, "search").maintain(budget_s))


def index(store: Store) -> None:
    """Maintain the index until there is nothing left to do."""
    while maintain(store, budget_s=1.0):
        pass


def tag(store: Store, entries: Sequence[Entry]) -> None:
    """Give pictures their tags; each has to be recorded under its `seq`."""
    attach = _module("mysticanvas.store.tags").attach
    with store.database.write() as transaction:
        attach(transaction, [(entry.seq, entry.tags) for entry in entries], source="import")


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise Absent(f"there is no {name}") from None


def _part(store: Store, name: str) -> Any:
    found = getattr(store, name, None)
    if found is None:
        raise Absent(f"the store has no {name}")
    return found
