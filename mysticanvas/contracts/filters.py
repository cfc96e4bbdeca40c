"""Which pictures a page or a search is about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.images import Source

MAX_NAMES = 100
MAX_IDS = 500
"""Limits of a request; the whole filter has to fit in the line of a request."""

Sort = Literal["newest", "oldest"]
"""Which end of the order of recording comes first."""


def _utc(moment: datetime) -> datetime:
    """The moment in UTC; one that names no zone is taken as UTC."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC, it is not between the years 1 and 9999") from None


def _listed(ids: Any) -> Any:
    """The ids; `?ids=` is how a query says that there are none."""
    return [] if ids == [""] else ids


_Text = Annotated[str, Field(max_length=4096)]
_Names = Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=MAX_NAMES)]
_Moment = Annotated[datetime, AfterValidator(_utc)]
_Side = Annotated[int, Field(ge=1, lt=2**31)]


class ImageFilters(Contract):
    """Conditions that all have to hold; one at its default is none."""

    tags: _Names = []
    """Has every one of these tags."""
    any_tags: _Names = []
    """Has at least one of these."""
    not_tags: _Names = []
    """Has none of these."""
    preset: _Text | None = None
    style: _Text | None = None
    starred: bool | None = None
    min_rating: Annotated[int, Field(ge=0, le=5)] | None = None
    """Rated so or better; 0 is every picture that is rated."""
    seed: Annotated[int, Field(ge=0, lt=2**64)] | None = None
    since: _Moment | None = None
    """Created then or later."""
    until: _Moment | None = None
    """Created before."""
    width: _Side | None = None
    height: _Side | None = None
    project: _Text | None = None
    ids: Annotated[list[_Text], Field(max_length=MAX_IDS), BeforeValidator(_listed)] | None = None
    """Whole ids; an empty list is met by no picture."""
    job: _Text | None = None
    """The whole id of the job that made it."""
    parent: _Text | None = None
    """The whole id of the picture that it was made from."""
    source: Source | None = None
    request_hash: _Text | None = None
    recipe_hash: _Text | None = None
