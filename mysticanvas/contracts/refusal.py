"""The error for an argument that is not allowed, in the same words everywhere."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from mysticanvas.errors import InvalidRequest


def missing(parameter: str, needed: str) -> InvalidRequest:
    """The error for an argument that has to be given."""
    return InvalidRequest(
        f"{parameter} is missing; needed is {needed}.", parameter=parameter, allowed=needed
    )


def refused(parameter: str, value: Any, allowed: str, hint: str = "") -> InvalidRequest:
    """The error for a value that is not allowed."""
    # A path as a user writes it.
    shown = repr(str(value) if isinstance(value, PurePath) else value)
    if len(shown) > 80:
        # Of the longest, which are paths and prompts, both ends say something.
        shown = f"{shown[:30]}…{shown[-30:]} ({type(value).__name__})"
    return InvalidRequest(
        f"{parameter}={shown} is not allowed; allowed is {allowed}.",
        hint=hint,
        parameter=parameter,
        value=shown,
        allowed=allowed,
    )


def unknown(
    name: str,
    known: Sequence[str],
    synonyms: Mapping[str, str],
    *,
    alike: bool = True,
    why: str = "",
    hint: str = "",
) -> InvalidRequest:
    """The error for a keyword that does not exist, with the nearest one that does.

    Args:
        synonyms: other name -> ours, several with spaces between.
        alike: whether one of these, or one that looks like it, may be meant.
        why: what is said of it beside that it does not exist.
        hint: what to do, if that is something else.
    """
    near = nearest(name, known, synonyms) if alike and not hint else []
    return InvalidRequest(
        f"There is no parameter {name!r}{why}.",
        hint=hint or did_you_mean(near) or f"There are: {', '.join(known)}.",
        parameter=name,
        allowed=", ".join(near or known),
    )


def nearest(name: str, known: Iterable[str], synonyms: Mapping[str, str]) -> list[str]:
    """What somebody may have meant who wrote `name`; empty if nothing is like it."""
    known = list(known)
    if name in synonyms:
        return [each for each in synonyms[name].split() if each in known]
    return difflib.get_close_matches(name, known, 1)


def did_you_mean(names: Iterable[str]) -> str:
    """The question whether these were meant; empty for none."""
    named = " and ".join(map(repr, names))
    return f"Did you mean {named}?" if named else ""


def unicode_text(parameter: str, value: str) -> str:
    """Text that can be sent and stored.

    Raises:
        InvalidRequest: it has half a surrogate pair, which is no character.
    """
    if not is_unicode(value):
        raise refused(parameter, value, "Unicode text")
    return value


def is_unicode(value: object) -> bool:
    """Whether the texts in what JSON can hold are made of whole characters."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
