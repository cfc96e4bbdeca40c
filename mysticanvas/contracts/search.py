"""A search as it crosses a process boundary."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mysticanvas.contracts.filters import ImageFilters
from mysticanvas.contracts.images import ImagePage


class SearchRequest(ImageFilters):
    """The query of `GET /v1/search`: what to look for, and filters that all have to hold."""

    text: str = ""
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    cursor: str | None = None

    @property
    def filters(self) -> ImageFilters:
        """The filters alone."""
        return ImageFilters.model_validate(self.model_dump())


class SearchPage(ImagePage):
    """One page of what was found, best first."""

    scores: list[float | None]
    """Of each item; None where the query had nothing to rank by, and the newest come first."""
    total: int
    """Pictures on all pages together."""
