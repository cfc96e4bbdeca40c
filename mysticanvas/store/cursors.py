"""Page cursors: opaque text that holds a position and the query that it belongs to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Mapping

from mysticanvas.contracts.base import canonical_json
from mysticanvas.contracts.params import refused

_VERSION = 1
_BODY = struct.Struct(">B8sQ")
_CHECKSUM_BYTES = 10
_ALLOWED = "`next_cursor` of a page of this very query"


def encode(seq: int, filters: Mapping[str, str | None]) -> str:
    """The cursor for the rows before `seq` of the query with these filters."""
    body = _BODY.pack(_VERSION, _digest(_text(filters), 8), seq)
    return base64.urlsafe_b64encode(body + _digest(body, _CHECKSUM_BYTES)).decode()


def decode(cursor: str, filters: Mapping[str, str | None]) -> int:
    """The position that a cursor holds.

    Raises:
        InvalidRequest: it is damaged, of another version, or of a query with other filters.
    """
    try:
        raw = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeError):
        raw = b""
    body, checksum = raw[: _BODY.size], raw[_BODY.size :]
    whole = len(body) == _BODY.size and checksum == _digest(body, _CHECKSUM_BYTES)
    # The decoder takes surplus padding; a cursor has one spelling.
    if not whole or base64.urlsafe_b64encode(raw).decode() != cursor:
        raise refused("cursor", cursor, _ALLOWED, "Start again without a cursor.")
    version, query, seq = _BODY.unpack(body)
    if version != _VERSION or query != _digest(_text(filters), 8):
        raise refused("cursor", cursor, _ALLOWED, "It was made by another query.")
    return int(seq)


def _text(filters: Mapping[str, str | None]) -> bytes:
    return canonical_json(dict(filters)).encode()


def _digest(data: bytes, size: int) -> bytes:
    return hashlib.sha256(data).digest()[:size]
