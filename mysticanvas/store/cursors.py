"""Page cursors: opaque text that holds a position and the query that it belongs to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Mapping
from typing import Any

from mysticanvas.contracts.base import canonical_json
from mysticanvas.contracts.params import refused

_VERSION = 1
_HEAD = struct.Struct(">B8s")
_SEQ = struct.Struct(">Q")
_CHECKSUM_BYTES = 10
_ALLOWED = "`next_cursor` of a page of this very query"


def encode(seq: int, filters: Mapping[str, str | None]) -> str:
    """The cursor for the rows before `seq` of the query with these filters."""
    return seal(_SEQ.pack(seq), filters)


def decode(cursor: str, filters: Mapping[str, str | None]) -> int:
    """The position that a cursor holds.

    Raises:
        InvalidRequest: it is damaged, of another version, or of a query with other filters.
    """
    content = unseal(cursor, filters)
    if len(content) != _SEQ.size:
        raise refused("cursor", cursor, _ALLOWED, "It was made by another query.")
    return int(_SEQ.unpack(content)[0])


def seal(content: bytes, query: Mapping[str, Any]) -> str:
    """A cursor with any content, for the query that these values stand for."""
    body = _HEAD.pack(_VERSION, _digest(_text(query), 8)) + content
    return base64.urlsafe_b64encode(body + _digest(body, _CHECKSUM_BYTES)).decode()


def unseal(cursor: str, query: Mapping[str, Any]) -> bytes:
    """The content of a cursor.

    Raises:
        InvalidRequest: it is damaged, of another version, or of another query.
    """
    try:
        raw = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeError):
        raw = b""
    body, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    whole = len(body) >= _HEAD.size and checksum == _digest(body, _CHECKSUM_BYTES)
    # The decoder takes surplus padding; a cursor has one spelling.
    if not whole or base64.urlsafe_b64encode(raw).decode() != cursor:
        raise refused("cursor", cursor, _ALLOWED, "Start again without a cursor.")
    version, digest = _HEAD.unpack_from(body)
    if version != _VERSION or digest != _digest(_text(query), 8):
        raise refused("cursor", cursor, _ALLOWED, "It was made by another query.")
    return body[_HEAD.size :]


def _text(query: Mapping[str, Any]) -> bytes:
    return canonical_json(dict(query)).encode()


def _digest(data: bytes, size: int) -> bytes:
    return hashlib.sha256(data).digest()[:size]
