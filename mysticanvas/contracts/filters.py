"""Which pictures a page or a search is about."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.images import Source

MAX_NAMES = 100
MAX_IDS = 500
"""Limits of a request; the whole filter has to fit in the line of a request."""

Sort = Literal["newest", "oldest"]
_Names = Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=MAX_NAMES)]


class ImageFilters(Contract):
    """Conditions that all have to hold; one at its default is none."""

    tags: _Names = []
    """Has every one of these tags."""
    any_tags: _Names = []
    """Has at least one of these."""
    not_tags: _Names = []
    """Has none of these."""
    preset: str | None = None
    style: str | None = None
    starred: bool | None = None
    min_rating: Annotated[int, Field(ge=0, le=5)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**64)] | None = None
    since: datetime | None = None
    """Created then or later."""
    until: datetime | None = None
    """Created before."""
    width: int | None = None
    height: int | None = None
    project: str | None = None
    ids: Annotated[list[str], Field(max_length=MAX_IDS)] | None = None
    """Whole ids."""
    job: str | None = None
    """The whole id of the job that made it."""
    parent: str | None = None
    """The whole id of the picture that it was made from."""
    source: Source | None = None
    request_hash: str | None = None
    recipe_hash: str | None = None
