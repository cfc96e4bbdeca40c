"""`canvas.search`: pages of what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mysticanvas.contracts.search import remark
from mysticanvas.session.collections.images import from_cards
from mysticanvas.session.page import Page

if TYPE_CHECKING:
    from mysticanvas.contracts.filters import ImageFilters
    from mysticanvas.contracts.search import SearchSort
    from mysticanvas.session.connection import Connection


def search(
    connection: Connection,
    text: str,
    filters: ImageFilters,
    limit: int,
    cursor: str | None,
    sort: SearchSort,
) -> Page:
    """A page of pictures by their words; see `Canvas.search`."""
    found = connection.call(lambda api: api.search(text, filters, limit, cursor, sort))
    return Page(
        from_cards(found.items, connection, found.scores),
        found.next_cursor,
        turn=lambda following: search(connection, text, filters, limit, following, sort),
        count=lambda: found.total,
        remark=remark(text),
    )
