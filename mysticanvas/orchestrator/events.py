"""The event bus: from any thread to every listener, and never waiting for one.

Transitions are numbered and kept in a bounded ring, so that a listener that comes back can replay
what it missed. Progress and previews are coalesced: a slow listener gets the newest only.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Self

from mysticanvas.contracts.events import Event, EventType
from mysticanvas.contracts.ids import new_id

RING = 4096
"""Transitions kept for replay; also how far a listener may fall behind."""


class Published:
    """An event, and its text, which is made once for all who listen."""

    def __init__(self, event: Event) -> None:
        self.event = event

    @functools.cached_property
    def text(self) -> str:
        return self.event.model_dump_json()

    @property
    def over(self) -> str | None:
        """The id of the job that this says runs no longer."""
        data = self.event.data
        ended = self.event.type == "job" and data.get("status") != "running"
        return str(data.get("id")) if ended else None


class Bus:
    """Publishes events; thread-safe."""

    def __init__(self, ring: int = RING) -> None:
        self.epoch = new_id()
        self._limit = ring
        self._ring: deque[Published] = deque(maxlen=ring)
        self._seq = 0
        self._lock = threading.Lock()
        self._listeners: set[Subscription] = set()
        self._closed = False

    def publish(self, kind: EventType, data: dict[str, Any]) -> None:
        """Publish a transition."""
        with self._lock:
            self._seq += 1
            event = Published(Event(epoch=self.epoch, seq=self._seq, type=kind, data=data))
            self._ring.append(event)
            for listener in self._listeners:
                listener._add(event)

    def publish_latest(self, kind: EventType, key: str, data: dict[str, Any]) -> None:
        """Publish something of which only the newest of the same kind counts.

        Args:
            key: the id of the job that it is about.
        """
        event = Published(Event(epoch=self.epoch, type=kind, data=data))
        with self._lock:
            for listener in self._listeners:
                if kind != "preview" or listener.previews:
                    listener._replace(kind, key, event)

    def subscribe(self, client: str, epoch: str = "", after: int | None = None) -> Subscription:
        """Listen from now on, or from behind event `after` of `epoch`.

        Must be called on the event loop that will read. The first event is `hello`, or `resync`
        if what came after `after` is no longer known. Whoever comes from another epoch gets a
        `resync` and, behind it, all of this one, as long as all of it is known.
        """
        with self._lock:
            first, missed = self._missed(epoch, after)
            # The greeting, and a whole ring behind it.
            listener = Subscription(self, client, 1 + self._limit)
            # Behind which it hears all, so that it can come back to there.
            data = {"seq": self._seq - len(missed)}
            hello = Event(epoch=self.epoch, type=first, data=data)
            listener._add(Published(hello))
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
        oldest = self._seq + 1 - len(self._ring)
        if epoch != self.epoch:
            return "resync", list(self._ring) if oldest == 1 else []
        if after > self._seq or after + 1 < oldest:
            return "resync", []
        return "hello", list(self._ring)[after + 1 - oldest :]

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

    def __init__(self, bus: Bus, client: str, limit: int) -> None:
        self.client = client
        self.previews = False
        self._bus = bus
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._transitions: deque[Published] = deque()
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
            events = [*self._transitions, *latest]
            self._transitions.clear()
            self._latest.clear()
            return events

    def _add(self, event: Published) -> None:
        def add() -> None:
            if event.over is not None:
                # What was under way is so no longer, and would come behind the news of the end.
                self._latest.pop(event.over, None)
            if len(self._transitions) < self._limit:
                self._transitions.append(event)
                return
            self._transitions.clear()
            now = event.event
            resync = Event(epoch=now.epoch, type="resync", data={"seq": now.seq})
            self._transitions.append(Published(resync))

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
