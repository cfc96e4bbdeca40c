"""The jobs that wait, in the order in which they run.

A mirror, in memory, of the rows whose status is `queued`: the process is the only writer of its
store, and to look for the next job among a million finished ones would cost more than to begin it.
"""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import NamedTuple

from mysticanvas.contracts.jobs import WORKER_KINDS


class Entry(NamedTuple):
    """A job that waits; entries sort as their jobs run: interactive ones first, then the older."""

    background: bool
    seq: int
    id: str
    kind: str
    not_before: datetime | None = None
    """When its time comes, as the database keeps times; None if it has come."""
    model: str = ""
    """Digest of what it runs with; empty if it needs no model."""
    pixels: int = 0
    """Of all pictures that it is to make."""

    @property
    def on_worker(self) -> bool:
        return self.kind in WORKER_KINDS

    def due(self, now: datetime) -> bool:
        return self.not_before is None or self.not_before <= now


MOST_PASSES = 4
"""How often a job lets later ones go first because their model is loaded already."""


class Waiting:
    """Entries in order. Not thread-safe: its owner has a lock."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._by_id: dict[str, Entry] = {}
        self._passes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Entry) -> None:
        bisect.insort(self._entries, entry)
        self._by_id[entry.id] = entry

    def remove(self, job_id: str) -> None:
        """Forget a job; harmless if it does not wait."""
        entry = self._by_id.pop(job_id, None)
        self._passes.pop(job_id, None)
        if entry is not None:
            del self._entries[bisect.bisect_left(self._entries, entry)]

    def next(self, kinds: Collection[str] | None, now: datetime) -> Entry | None:
        """The first of these kinds (None: of any) whose time has come."""
        return next((entry for entry in self._of(kinds) if entry.due(now)), None)

    def take(self, kinds: Collection[str] | None, now: datetime, model: str | None) -> Entry | None:
        """Remove and give the one to run now: the first, or one of the same priority whose model is
        loaded, as long as the first has not been passed over too often.

        Args:
            model: digest of the one that is loaded.
        """
        first = self.next(kinds, now)
        if first is None:
            return None
        chosen = first
        if model is not None and self._passes.get(first.id, 0) < MOST_PASSES:
            chosen = next((each for each in self._like(first, kinds, now, model)), first)
        if chosen is not first:
            self._passes[first.id] = self._passes.get(first.id, 0) + 1
        self.remove(chosen.id)
        return chosen

    def next_due(self, kinds: Collection[str] | None, now: datetime) -> datetime | None:
        """When the time of the first of these kinds comes; `now` if it has; None without any."""
        return min((entry.not_before or now for entry in self._of(kinds)), default=None)

    def ahead(self, job_id: str) -> int | None:
        """How many jobs come before this one on what runs it; None if it does not wait."""
        mine = self._by_id.get(job_id)
        if mine is None:
            return None
        return sum(entry.on_worker == mine.on_worker and entry < mine for entry in self._entries)

    def pixels(self) -> int:
        """Of all pictures that these jobs are to make."""
        return sum(entry.pixels for entry in self._entries)

    def _like(
        self, first: Entry, kinds: Collection[str] | None, now: datetime, model: str
    ) -> Iterator[Entry]:
        """Those of the same priority with that model, in order."""
        return (
            each
            for each in self._of(kinds)
            if each.background == first.background and each.model == model and each.due(now)
        )

    def _of(self, kinds: Collection[str] | None) -> Iterator[Entry]:
        return (entry for entry in self._entries if kinds is None or entry.kind in kinds)
