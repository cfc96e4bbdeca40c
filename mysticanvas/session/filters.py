"""The keywords that choose pictures, for pages and searches alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from mysticanvas.session import arguments

if TYPE_CHECKING:
    from mysticanvas.contracts.filters import ImageFilters
    from mysticanvas.session.image import Image
    from mysticanvas.session.job import Job

Moment = date | datetime | str | timedelta
"""A day, a moment, either as ISO text, or a length of time: that long ago. A day is its first
moment; what names no zone is UTC."""


class Filters(TypedDict, total=False):
    """Keywords of `canvas.images(...)` and the like; None means "not given"."""

    tags: str | Sequence[str] | None
    any_tags: str | Sequence[str] | None
    not_tags: str | Sequence[str] | None
    preset: str | None
    style: str | None
    starred: bool | None
    min_rating: int | None
    seed: int | None
    since: Moment | None
    until: Moment | None
    width: int | None
    height: int | None
    project: str | None
    ids: str | Image | Sequence[str | Image] | None
    job: str | Job[Any] | None
    source: Literal["generate", "reproduce"] | None
    parent: str | Image | None


_NAMES = "a text, or a list of at most 100 texts, of at most 200 characters each"
_MOMENT = "a date, a datetime, ISO text such as '2026-05-04', or a timedelta: that long ago"
ALLOWED = {
    "tags": _NAMES,
    "any_tags": _NAMES,
    "not_tags": _NAMES,
    "preset": "the name of a preset",
    "style": "the name of a style",
    "starred": "True or False",
    "min_rating": "a whole number from 0 to 5",
    "seed": "a whole number from 0 to 2**64 - 1",
    "since": _MOMENT,
    "until": _MOMENT,
    "width": "a whole number of pixels",
    "height": "a whole number of pixels",
    "project": "the name of a project",
    "ids": "a picture or its whole id, or a list of at most 500 of them",
    "job": "a job, or its whole id",
    "source": "'generate' or 'reproduce'",
    "parent": "a picture, or its whole id",
}
"""Keyword -> what is allowed, in the words of the error."""

_SYNONYMS = {
    "after": "since",
    "before": "until",
    "count": "limit",
    "exclude_tags": "not_tags",
    "favorite": "starred",
    "from_": "since",
    "id": "ids",
    "images": "ids",
    "model": "preset",
    "n": "limit",
    "order": "sort",
    "order_by": "sort",
    "page": "cursor",
    "rating": "min_rating",
    "size": "width height",
    "without_tags": "not_tags",
}


def parse(
    given: Mapping[str, Any],
    project: str | None,
    beside: Sequence[str] = ("limit", "cursor", "sort"),
) -> ImageFilters:
    """The filters that keyword arguments mean.

    Args:
        given: the keywords of a call; see `Filters`.
        project: the canvas's own, which counts if none is given.
        beside: what else the call takes, for who misspells it.

    Raises:
        InvalidRequest: names the parameter, its value and what is allowed; for an unknown name,
            the nearest one.
    """
    from pydantic import ValidationError

    from mysticanvas.contracts.filters import ImageFilters
    from mysticanvas.contracts.refusal import refused, unknown

    strange = given.keys() - ALLOWED.keys()
    if strange:
        raise unknown(min(strange), [*beside, *ALLOWED], _SYNONYMS)
    values = {"project": project} if project is not None else {}
    values |= {name: _plain(name, value) for name, value in given.items() if value is not None}
    try:
        return ImageFilters.model_validate(values, strict=True)
    except ValidationError as error:
        name = str(error.errors(include_url=False)[0]["loc"][0])
        raise refused(name, values[name], ALLOWED[name]) from None


def _plain(name: str, value: Any) -> Any:
    """The value as the contract has it; what cannot be understood stays as it is."""
    from mysticanvas.contracts.params import plain

    if name in ("tags", "any_tags", "not_tags"):
        return [value] if isinstance(value, str) else _list(value)
    if name == "ids":
        several = isinstance(value, Iterable) and not isinstance(value, str)
        return [
            arguments.whole_id(name, each, ALLOWED[name])
            for each in (_list(value) if several else [value])
        ]
    if name in ("job", "parent"):
        return arguments.whole_id(name, value, ALLOWED[name])
    if name in ("since", "until"):
        return _moment(name, value)
    return plain(value)


def _list(value: Any) -> Any:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, Mapping) else value


def _moment(name: str, value: Any) -> datetime:
    from mysticanvas.contracts.params import plain, refused

    value = plain(value)
    try:
        if isinstance(value, timedelta):
            return datetime.now(UTC) - value
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        raise refused(name, value, ALLOWED[name]) from None
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise refused(name, value, ALLOWED[name])
