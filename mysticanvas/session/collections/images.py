"""`canvas.images`: every picture of a project, and pages of those that are chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, Unpack, get_args

from mysticanvas.contracts.filters import Sort
from mysticanvas.errors import InvalidRequest, NotFound
from mysticanvas.session import arguments, filters as choosing, sheet, table
from mysticanvas.session.details import Details
from mysticanvas.session.image import Image
from mysticanvas.session.images import Images
from mysticanvas.session.page import Page
from mysticanvas.session.signatures import spelled_out

if TYPE_CHECKING:
    from mysticanvas.contracts.filters import ImageFilters
    from mysticanvas.contracts.images import ImageCard, ImageRecord
    from mysticanvas.session.connection import Connection
    from mysticanvas.session.filters import Filters

_STEP = 200
"""Pictures a request, where all are gone through."""
_SHOWN = 12


class ImageCollection:
    """All pictures of a canvas: call it for a page, go through it, or look one up by its id.

        canvas.images(tags="castle", min_rating=4)
        canvas.images["1f0a9c2e"]
        for image in canvas.images: ...

    A whole id finds its picture in whatever project, and what is found is in the collection. A
    notebook shows thumbnails of the newest.

    Args:
        project: only pictures of this project; None for all.
    """

    def __init__(self, connection: Connection, project: str | None) -> None:
        self._connection = connection
        self._project = project

    @spelled_out(choosing.Filters)
    def __call__(
        self,
        limit: int = 50,
        cursor: str | None = None,
        *,
        sort: Literal["newest", "oldest"] = "newest",
        **filters: Unpack[Filters],
    ) -> Page:
        """A page of pictures; those made meanwhile do not shift the pages that follow.

        Args:
            limit: pictures on a page, 1 to 1,000.
            cursor: `next_cursor` of the page before, asked for in the same way. A timedelta is
                another moment in every call; `page.next()` keeps to the first.
            sort: which come first.
            tags: only those that have all these tags; a text is one tag, an empty list no
                condition.
            any_tags: only those that have at least one of these tags; as above.
            not_tags: only those that have none of these tags; as above.
            preset, style: only those made with the preset or style of this name.
            starred: only those that are starred, or that are not.
            min_rating: only those rated so, 0 to 5, or better.
            seed: only those of this very seed.
            since, until: only those asked for then or later, and before then: a date or a
                datetime (in UTC, where it names no zone), either as ISO text, or a timedelta:
                that long ago.
            width, height: only those of this many pixels across or down.
            project: only those of this project; by default the canvas's own.
            ids: only these, as pictures or whole ids, at most 500; an empty list is no picture.
            job: only those that this job made: a job or its whole id.
            source: `generate` or `reproduce`: only those that such a call made.
            parent: only those made from this picture, or from the one of this whole id.

        Raises:
            InvalidRequest: an argument is not allowed, or the cursor belongs to another query.
        """
        size = arguments.page_size(limit)
        return self._page(
            choosing.parse(filters, self._project),
            arguments.one_of("sort", sort, get_args(Sort)),
            size,
            cursor,
        )

    @spelled_out(choosing.Filters)
    def list(
        self,
        limit: int | None = None,
        *,
        sort: Literal["newest", "oldest"] = "newest",
        **filters: Unpack[Filters],
    ) -> Images:
        """The pictures of all pages together.

        Args:
            limit: how many at most; None for all there are.
            sort, **filters: as for a page.

        Raises:
            InvalidRequest: an argument is not allowed.
        """
        if limit is not None:
            limit = arguments.count("limit", limit)
        chosen = choosing.parse(filters, self._project, beside=("limit", "sort"))
        return Images(self._walk(chosen, arguments.one_of("sort", sort, get_args(Sort)), limit))

    def __iter__(self) -> Iterator[Image]:
        """Every picture, newest first; pages are asked for as they are reached."""
        return self._walk(choosing.parse({}, self._project), "newest", None)

    def __len__(self) -> int:
        return self._count(choosing.parse({}, self._project))

    def __getitem__(self, id: str) -> Image:
        """A picture by its whole id, or by 4 or more characters of its end within the project.

        Raises:
            NotFound: there is none.
            InvalidRequest: there are several.
        """
        return Image(self._find(id), self._connection)

    def __contains__(self, image: object) -> bool:
        """Whether a picture, or the one of an id, would be found."""
        try:
            return bool(self._find(image.id if isinstance(image, Image) else image))
        except (NotFound, InvalidRequest):
            return False

    def _find(self, id: object) -> ImageRecord:
        part = arguments.identifier("image", id)
        return self._connection.call(lambda api: api.image(part, self._project))

    def _page(self, chosen: ImageFilters, sort: Sort, limit: int, cursor: str | None) -> Page:
        page = self._connection.call(lambda api: api.images(chosen, limit, cursor, sort))
        return Page(
            from_cards(page.items, self._connection),
            page.next_cursor,
            turn=lambda following: self._page(chosen, sort, limit, following),
            count=lambda: self._count(chosen),
        )

    def _walk(self, chosen: ImageFilters, sort: Sort, limit: int | None) -> Iterator[Image]:
        left = limit
        cursor = None
        while True:
            page = self._page(chosen, sort, _STEP if left is None else min(_STEP, left), cursor)
            yield from page
            cursor = page.next_cursor
            if left is not None:
                left -= len(page)
            if cursor is None or left == 0:
                return

    def _count(self, chosen: ImageFilters) -> int:
        return self._connection.call(lambda api: api.image_count(chosen))

    def _repr_html_(self) -> str:
        page = self(_SHOWN)
        rest = table.rest(page.total - len(page), "older")
        return sheet.of(page, none="no pictures yet") + rest

    def __repr__(self) -> str:
        within = f" project={self._project!r}" if self._project is not None else ""
        return f"<ImageCollection {len(self)}{within}>"


def from_cards(
    cards: Sequence[ImageCard],
    connection: Connection,
    scores: Sequence[float | None] | None = None,
) -> Images:
    """The pictures of a page, which fetch together what their cards do not have.

    Args:
        scores: how well each meets a search.
    """
    details = Details([card.id for card in cards], connection)
    return Images(
        Image(card, connection, details=details, score=score)
        for card, score in zip(cards, scores or [None] * len(cards), strict=True)
    )
