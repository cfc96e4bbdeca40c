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

    @property
    def on_worker(self) -> bool:
        return self.kind in WORKER_KINDS

    def due(self, now: datetime) -> bool:
        return self.not_before is None or self.not_before <= now


class Waiting:
    """Entries in order. Not thread-safe: its owner has a lock."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._by_id: dict[str, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Entry) -> None:
        bisect.insort(self._entries, entry)
        self._by_id[entry.id] = entry

    def remove(self, job_id: str) -> None:
        """Forget a job; harmless if it does not wait."""
        entry = self._by_id.pop(job_id, None)
        if entry is not None:
            del self._entries[bisect.bisect_left(self._entries, entry)]

    def next(self, kinds: Collection[str] | None, now: datetime) -> Entry | None:
        """The first of these kinds (None: of any) whose time has come."""
        return next((entry for entry in self._of(kinds) if entry.due(now)), None)

    def next_due(self, kinds: Collection[str] | None, now: datetime) -> datetime | None:
        """When the time of the first of these kinds comes; `now` if it has; None without any."""
        return min((entry.not_before or now for entry in self._of(kinds)), default=None)

    def ahead(self, job_id: str) -> int | None:
        """How many jobs come before this one on what runs it; None if it does not wait."""
        mine = self._by_id.get(job_id)
        if mine is None:
            return None
        return sum(entry.on_worker == mine.on_worker and entry < mine for entry in self._entries)

    def _of(self, kinds: Collection[str] | None) -> Iterator[Entry]:
        return (entry for entry in self._entries if kinds is None or entry.kind in kinds)
