"""Words -> the terms that they are indexed as."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable

from mysticanvas.store import queries
from mysticanvas.store.connection import Database

_SQL = queries.load("search")
_MAX_KNOWN = 50_000


class Stems:
    """The stemmer of DuckDB's extension, asked once a word; for use from any thread.

    Args:
        stemmer: a name that the extension knows; `none` leaves words as they are.
    """

    def __init__(self, database: Database, stemmer: str) -> None:
        self._database = database
        self.stemmer = stemmer
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()

    def of(self, words: Iterable[str]) -> dict[str, str]:
        """The stem of each of these words."""
        wanted = set(words)
        if self.stemmer == "none":
            return {word: word for word in wanted}
        with self._lock:
            found = {word: self._known[word] for word in wanted if word in self._known}
        missing = sorted(wanted - found.keys())
        if missing:
            rows = self._database.read(_SQL["stems"], words=missing, stemmer=self.stemmer)
            fresh = {row["word"]: row["stem"] for row in rows}
            found |= fresh
            with self._lock:
                if len(self._known) > _MAX_KNOWN:
                    self._known.clear()
                self._known |= fresh
        return found


def number(term: str) -> int:
    """The number of a term in the index; `md5_number_lower` in SQL.

    Two terms of a million share one with a chance of 1 in 30 million.
    """
    return int.from_bytes(hashlib.md5(term.encode(), usedforsecurity=False).digest()[8:], "little")
