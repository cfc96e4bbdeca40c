"""Identifiers: UUIDv7, so that ids made later sort later (RFC 9562, section 5.7)."""

from __future__ import annotations

import re
import secrets
import time
import uuid

SHORT = 8
"""Length of the tail that people read and type. The head of a UUIDv7 is a timestamp, so ids of
one hour share it; the tail is random."""

_PART = re.compile(r"[0-9a-f-]{4,36}")


def new_id() -> str:
    """A fresh UUIDv7 in its usual text form."""
    millis = time.time_ns() // 1_000_000
    value = (millis & (1 << 48) - 1) << 80 | 0x7 << 76 | secrets.randbits(12) << 64
    value |= 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def short(identifier: str) -> str:
    """The part of an id that is shown to people: its random tail."""
    return identifier[-SHORT:]


def is_part(text: str) -> bool:
    """Whether `text` could be the head or the tail of an id, 4 characters or more."""
    return _PART.fullmatch(text) is not None
