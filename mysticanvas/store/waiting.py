"""The jobs that wait, in the order in which they run.

A mirror, in memory, of the rows whose status is `queued`: the process is the only writer of its
store, and to look for the next job among a million finished ones would cost more than to begin it.
"""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from mysticanvas.contracts.jobs import LONGEST_DELAY_S, WORKER_KINDS

_LONGEST_DELAY = timedelta(seconds=LONGEST_DELAY_S)


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
        """Whether its time has come, or lies so far ahead that the clock was set back since."""
        if self.not_before is None:
            return True
        return not now < self.not_before <= now + _LONGEST_DELAY


MOST_PASSES = 4
"""How often a job lets later ones go first because their model is loaded already."""


class Waiting:
    """Entries in order. Not thread-safe: its owner has a lock.

    What is asked for each job that is shown, or by each lane at each change, looks at few entries
    however many there are: each queue is sorted, and there is one for each kind and model.
    """

    def __init__(self) -> None:
        self._queues: dict[tuple[str, str], list[Entry]] = {}
        """By kind and model; none is empty."""
        self._by_id: dict[str, Entry] = {}
        self._passes: dict[str, int] = {}
        self._pixels = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def put(self, entry: Entry) -> None:
        """Have a job wait; in its new place, if it waits already."""
        self.remove(entry.id)
        bisect.insort(self._queues.setdefault((entry.kind, entry.model), []), entry)
        self._by_id[entry.id] = entry
        self._pixels += entry.pixels

    def remove(self, job_id: str) -> None:
        """Forget a job; harmless if it does not wait."""
        entry = self._by_id.pop(job_id, None)
        self._passes.pop(job_id, None)
        if entry is None:
            return
        self._pixels -= entry.pixels
        queue = self._queues[entry.kind, entry.model]
        del queue[bisect.bisect_left(queue, entry)]
        if not queue:
            del self._queues[entry.kind, entry.model]

    def next(
        self, kinds: Collection[str] | None, now: datetime, model: str | None = None
    ) -> Entry | None:
        """The first of these kinds (None: of any) whose time has come.

        Args:
            model: only one that runs with this model; None for any.
        """
        firsts = (_first_due(queue, now) for queue in self._of(kinds, model))
        return min((first for first in firsts if first is not None), default=None)

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
            like = self.next(kinds, now, model)
            if like is not None and like.background == first.background:
                chosen = like
        if chosen is not first:
            self._passes[first.id] = self._passes.get(first.id, 0) + 1
        self.remove(chosen.id)
        return chosen

    def next_due(self, kinds: Collection[str] | None, now: datetime) -> datetime | None:
        """When the time of the first of these kinds comes; `now` if it has; None without any."""
        if self.next(kinds, now) is not None:
            return now
        later = (entry.not_before or now for queue in self._of(kinds) for entry in queue)
        return min(later, default=None)

    def ahead(self, job_id: str) -> int | None:
        """How many jobs come before this one on what runs it; None if it does not wait."""
        mine = self._by_id.get(job_id)
        if mine is None:
            return None
        return sum(
            bisect.bisect_left(queue, mine)
            for queue in self._of(None)
            if queue[0].on_worker == mine.on_worker
        )

    def pixels(self) -> int:
        """Of all pictures that these jobs are to make."""
        return self._pixels

    def _of(self, kinds: Collection[str] | None, model: str | None = None) -> Iterator[list[Entry]]:
        """The queues of these kinds and that model; None for any."""
        return (
            queue
            for (kind, digest), queue in self._queues.items()
            if (kinds is None or kind in kinds) and (model is None or digest == model)
        )


def _first_due(queue: list[Entry], now: datetime) -> Entry | None:
    """The first whose time has come. Only jobs that ran and were put off are passed over."""
    return next((entry for entry in queue if entry.due(now)), None)
