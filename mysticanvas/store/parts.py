"""Ids as people type them: in full, or as an unambiguous head or tail."""

from __future__ import annotations

import uuid

from mysticanvas.contracts import ids
from mysticanvas.contracts.params import refused
from mysticanvas.errors import InvalidRequest, NotFound

_SMALLEST = str(uuid.UUID(int=0))
_LARGEST = str(uuid.UUID(int=2**128 - 1))


def full_id(text: str) -> str | None:
    """The id in its usual form, if `text` is a whole one."""
    try:
        return str(uuid.UUID(text)) if len(text) == 36 else None
    except ValueError:
        return None


def whole_id(parameter: str, text: str) -> str:
    """The id in its usual form.

    Raises:
        InvalidRequest: it is not a whole one.
    """
    full = full_id(text)
    if full is None:
        raise refused(parameter, text, "the whole id, of 36 characters")
    return full


def searchable(noun: str, text: str) -> str:
    """The part to look for.

    Raises:
        NotFound: no id can have such a part.
    """
    part = text.strip().lower()
    if not ids.is_part(part):
        raise not_found(noun, text)
    return part


def span(part: str) -> tuple[str | None, str | None]:
    """The smallest and the largest id with that head; None if no id can have it."""
    first, last = (part + filler[len(part) :] for filler in (_SMALLEST, _LARGEST))
    return (first, last) if full_id(first) == first else (None, None)


def only(noun: str, text: str, found: list[str]) -> str:
    """The one id that was found.

    Raises:
        NotFound: none was.
        InvalidRequest: several were.
    """
    if not found:
        raise not_found(noun, text)
    if len(found) > 1:
        raise _ambiguous(noun, text)
    return found[0]


def not_found(noun: str, text: str) -> NotFound:
    return NotFound(
        f"There is no {noun} {text[:80]!r}.",
        hint="An id is needed, or 4 characters or more of its head or tail.",
    )


def _ambiguous(noun: str, text: str) -> InvalidRequest:
    return refused(
        "id",
        text,
        f"a part that only one {noun} has",
        "Give more characters; the last 8, as they are displayed, tell ids apart.",
    )
