"""Page cursors: opaque text that holds a position and the query that it belongs to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Mapping
from typing import Any

from mysticanvas.contracts.base import Contract, canonical_json
from mysticanvas.contracts.params import refused

_VERSION = 2
_QUERY_BYTES = 8
_CHECKSUM_BYTES = 10
_HEAD = struct.Struct(f">B{_QUERY_BYTES}s")
_ALLOWED = "`next_cursor` of a page of this very query"
_OTHER = "It was made by another query."

Query = Contract | Mapping[str, object]
"""What a cursor is bound to: filters, and what else decides which rows come in which order."""


class Cursors:
    """Makes and reads the cursors of one kind of page.

    Args:
        kind: such as `images`; a cursor of another kind is refused.
        layout: of a position, as `struct` has it without a byte order, such as `q` for a seq or
            `dq` for a score and a seq.
    """

    def __init__(self, kind: str, layout: str) -> None:
        self._kind = kind
        self._position = struct.Struct(f">{layout}")

    def encode(self, position: tuple[int | float, ...], query: Query) -> str:
        """The cursor for what comes behind `position` in `query`."""
        return seal(self._kind, self._position.pack(*position), query)

    def decode(self, cursor: str, query: Query) -> tuple[Any, ...]:
        """The position that a cursor holds.

        Raises:
            InvalidRequest: it is damaged, of another version or kind, or of another query.
        """
        content = unseal(self._kind, cursor, query)
        if len(content) != self._position.size:
            raise refused("cursor", cursor, _ALLOWED, _OTHER)
        return self._position.unpack(content)


def seal(kind: str, content: bytes, query: Query) -> str:
    """A cursor of that kind with any content, bound to the query."""
    body = _bound(kind, query) + content
    return base64.urlsafe_b64encode(body + _digest(body, _CHECKSUM_BYTES)).decode()


def unseal(kind: str, cursor: str, query: Query) -> bytes:
    """The content of a cursor.

    Raises:
        InvalidRequest: it is damaged, of another version or kind, or of another query.
    """
    try:
        raw = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeError):
        raw = b""
    body, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    # The decoder takes surplus padding; a cursor has one spelling.
    one_spelling = base64.urlsafe_b64encode(raw).decode() == cursor
    if not body or checksum != _digest(body, _CHECKSUM_BYTES) or not one_spelling:
        raise refused("cursor", cursor, _ALLOWED, "Start again without a cursor.")
    bound = _bound(kind, query)
    if not body.startswith(bound):
        raise refused("cursor", cursor, _ALLOWED, _OTHER)
    return body[len(bound) :]


def _bound(kind: str, query: Query) -> bytes:
    plain = (
        query.model_dump(mode="json", exclude_defaults=True)
        if isinstance(query, Contract)
        else dict(query)
    )
    return _HEAD.pack(_VERSION, _digest(canonical_json([kind, plain]).encode(), _QUERY_BYTES))


def _digest(data: bytes, size: int) -> bytes:
    return hashlib.sha256(data).digest()[:size]
