"""Where a page of a search ends, and the statistics that its scores were made with.

New pictures change how rare a word is, and so every score. A cursor therefore carries what page
one was ranked by, and the newest picture there was: with these, the score of a picture depends on
nothing but its own words, whichever segment they are in by then. No picture comes twice and none
is left out, but for one whose words are edited meanwhile: it goes where its new words put it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

from mysticanvas.contracts.params import refused
from mysticanvas.store import cursors

_KIND = "search"
TOP = 2**62
_HEAD = struct.Struct(">QQQQd")


class Position(NamedTuple):
    """What the next page needs to go on from a picture."""

    horizon: int
    """Pictures after it are not on any page of this search."""
    score: int = TOP
    seq: int = TOP
    """The last picture of the page before."""
    total: int = 0
    average: float = 1.0
    idfs: tuple[float, ...] | None = None
    """Of the terms in the order of the query; None on page one, where they are found."""

    def encode(self, query: Mapping[str, Any]) -> str:
        """As a cursor of that query."""
        idfs = self.idfs or ()
        head = _HEAD.pack(self.horizon, self.score, self.seq, self.total, self.average)
        return cursors.seal(_KIND, head + struct.pack(f">{len(idfs)}d", *idfs), query)

    @classmethod
    def decode(cls, cursor: str, query: Mapping[str, Any]) -> Position:
        """The position that a cursor holds.

        Raises:
            InvalidRequest: it is damaged, or of another query.
        """
        content = cursors.unseal(_KIND, cursor, query)
        tail = len(content) - _HEAD.size
        if tail < 0 or tail % 8:
            raise refused("cursor", cursor, "`next_cursor` of a page of this very search")
        idfs = struct.unpack_from(f">{tail // 8}d", content, _HEAD.size)
        horizon, score, seq, total, average = _HEAD.unpack_from(content)
        return cls(horizon, score, seq, total, average, idfs)
