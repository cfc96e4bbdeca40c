"""The error for an argument that is not allowed, in the same words everywhere."""

from __future__ import annotations

import json
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
    shown = shown if len(shown) <= 80 else f"{shown[:60]}… ({type(value).__name__})"
    return InvalidRequest(
        f"{parameter}={shown} is not allowed; allowed is {allowed}.",
        hint=hint,
        parameter=parameter,
        value=shown,
        allowed=allowed,
    )


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
