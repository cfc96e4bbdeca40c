"""The event bus: from any thread to every listener, and never waiting for one.

Transitions are numbered and kept in a bounded ring, so that a listener that comes back can replay
what it missed. Progress and previews are coalesced: a slow listener gets the newest only.

What is kept is text: as Python objects, the same events take four times the memory.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Self

from mysticanvas.contracts.events import Event, EventType
from mysticanvas.contracts.ids import new_id

RING = 4096
"""Transitions kept for replay; also how far a listener may fall behind."""
RING_BYTES = 8 << 20
"""What they may take together: prompts can be long."""


class Published:
    """An event as all who listen are told of it."""

    def __init__(self, event: Event) -> None:
        self.epoch, self.seq = event.epoch, event.seq
        self.text = event.model_dump_json()
        self.size = sys.getsizeof(self.text)
        """Bytes."""
        ended = event.type == "job" and event.data.get("status") != "running"
        self.over = str(event.data.get("id")) if ended else None
        """The id of the job that this says runs no longer."""


class _Backlog:
    """Events in order, up to a number of them and of their bytes."""

    def __init__(self, number: int, size: int) -> None:
        self.events: deque[Published] = deque()
        self._number, self._limit = number, size
        self._size = 0

    def fits(self, event: Published) -> bool:
        """Whether there is room for another; for one there always is."""
        if not self.events:
            return True
        return len(self.events) < self._number and self._size + event.size <= self._limit

    def add(self, event: Published) -> None:
        self.events.append(event)
        self._size += event.size

    def drop_oldest(self) -> None:
        self._size -= self.events.popleft().size

    def take(self) -> list[Published]:
        """All of them, which are gone from here."""
        taken = list(self.events)
        self.events.clear()
        self._size = 0
        return taken


class Bus:
    """Publishes events; thread-safe.

    Args:
        ring: how many transitions are kept.
        ring_bytes: bytes that they may take together.
    """

    def __init__(self, ring: int = RING, ring_bytes: int = RING_BYTES) -> None:
        self.epoch = new_id()
        self._limits = ring, ring_bytes
        self._ring = _Backlog(ring, ring_bytes)
        self._seq = 0
        self._lock = threading.Lock()
        self._listeners: set[Subscription] = set()
        self._closed = False

    def publish(self, kind: EventType, data: dict[str, Any]) -> None:
        """Publish a transition."""
        with self._lock:
            self._seq += 1
            event = Published(Event(epoch=self.epoch, seq=self._seq, type=kind, data=data))
            while not self._ring.fits(event):
                self._ring.drop_oldest()
            self._ring.add(event)
            for listener in self._listeners:
                listener._add(event)

    def publish_latest(self, kind: EventType, key: str, data: dict[str, Any]) -> None:
        """Publish something of which only the newest of the same kind counts.

        Args:
            key: the id of the job that it is about.
        """
        with self._lock:
            wanting = [one for one in self._listeners if kind != "preview" or one.previews]
            if not wanting:
                return
            event = Published(Event(epoch=self.epoch, type=kind, data=data))
            for listener in wanting:
                listener._replace(kind, key, event)

    def subscribe(self, client: str, epoch: str = "", after: int | None = None) -> Subscription:
        """Listen from now on, or from behind event `after` of `epoch`.

        Must be called on the event loop that will read. The first event is `hello`, or `resync`
        if what came after `after` is no longer known. Whoever comes from another epoch gets a
        `resync` and, behind it, all of this one, as long as all of it is known.
        """
        with self._lock:
            first, missed = self._missed(epoch, after)
            # Behind which it hears all, so that it can come back to there.
            data = {"seq": self._seq - len(missed)}
            hello = Published(Event(epoch=self.epoch, type=first, data=data))
            # The greeting, and a whole ring behind it.
            number, size = self._limits
            listener = Subscription(self, client, _Backlog(1 + number, hello.size + size))
            listener._add(hello)
            for event in missed:
                listener._add(event)
            self._listeners.add(listener)
            if self._closed:
                listener._end()
        return listener

    def _missed(self, epoch: str, after: int | None) -> tuple[EventType, list[Published]]:
        """How a listener is greeted, and what it is told of what it missed."""
        if after is None:
            return "hello", []
        kept = self._ring.events
        oldest = self._seq + 1 - len(kept)
        if epoch != self.epoch:
            return "resync", list(kept) if oldest == 1 else []
        if after > self._seq or after + 1 < oldest:
            return "resync", []
        return "hello", list(kept)[after + 1 - oldest :]

    def _drop(self, listener: Subscription) -> None:
        with self._lock:
            self._listeners.discard(listener)

    @property
    def clients(self) -> list[str]:
        """Labels of those who listen."""
        with self._lock:
            return sorted({listener.client for listener in self._listeners})

    @property
    def previews_wanted(self) -> bool:
        """Whether anybody wants previews."""
        with self._lock:
            return any(listener.previews for listener in self._listeners)

    def close(self) -> None:
        """End every subscription, those to come included."""
        with self._lock:
            self._closed = True
            for listener in self._listeners:
                listener._end()


class Subscription:
    """One listener's view of the bus; read on the event loop that it was made on."""

    def __init__(self, bus: Bus, client: str, transitions: _Backlog) -> None:
        self.client = client
        self.previews = False
        self._bus = bus
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._transitions = transitions
        self._latest: dict[str, dict[str, Published]] = {}
        """By job, so that there are no more than jobs that run; then by kind."""
        self._ended = self._woken = False
        self._lock = threading.Lock()

    async def next(self) -> list[Published]:
        """The events since the last call, at least one; an empty list is the end."""
        await self._wake.wait()
        with self._lock:
            self._woken = False
            self._wake.clear()
            if self._ended:
                self._woken = True
                self._wake.set()
                return []
            latest = [event for of_job in self._latest.values() for event in of_job.values()]
            events = [*self._transitions.take(), *latest]
            self._latest.clear()
            return events

    def _add(self, event: Published) -> None:
        def add() -> None:
            if event.over is not None:
                # What was under way is so no longer, and would come behind the news of the end.
                self._latest.pop(event.over, None)
            if self._transitions.fits(event):
                self._transitions.add(event)
                return
            self._transitions.take()
            resync = Event(epoch=event.epoch, type="resync", data={"seq": event.seq})
            self._transitions.add(Published(resync))

        self._change(add)

    def _replace(self, kind: str, job_id: str, event: Published) -> None:
        def replace() -> None:
            self._latest.setdefault(job_id, {})[kind] = event

        self._change(replace)

    def _end(self) -> None:
        def end() -> None:
            self._ended = True

        self._change(end)

    def _change(self, change: Callable[[], None]) -> None:
        with self._lock:
            change()
            # Once until it reads: a loop that is held up must not collect calls.
            asleep, self._woken = not self._woken, True
        if asleep:
            self._loop.call_soon_threadsafe(self._wake.set)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bus._drop(self)
