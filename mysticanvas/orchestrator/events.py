"""The event bus: from any thread to every listener, and never waiting for one.

Transitions are numbered and kept in a bounded ring, so that a listener that comes back can replay
what it missed. Progress and previews are coalesced: a slow listener gets the newest only.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from mysticanvas.contracts.events import Event, EventType
from mysticanvas.contracts.ids import new_id

RING = 4096
"""Transitions kept for replay; also how far a listener may fall behind."""


class Bus:
    """Publishes events; thread-safe."""

    def __init__(self, ring: int = RING) -> None:
        self.epoch = new_id()
        self._ring: deque[Event] = deque(maxlen=ring)
        self._seq = 0
        self._lock = threading.Lock()
        self._listeners: set[Subscription] = set()
        self._closed = False

    def publish(self, kind: EventType, data: dict[str, Any]) -> None:
        """Publish a transition."""
        with self._lock:
            self._seq += 1
            event = Event(epoch=self.epoch, seq=self._seq, type=kind, data=data)
            self._ring.append(event)
            for listener in self._listeners:
                listener._add(event)

    def publish_latest(self, kind: EventType, key: str, data: dict[str, Any]) -> None:
        """Publish something of which only the newest of the same kind and key counts."""
        event = Event(epoch=self.epoch, type=kind, data=data)
        with self._lock:
            for listener in self._listeners:
                if kind != "preview" or listener.previews:
                    listener._replace((kind, key), event)

    def subscribe(self, client: str, epoch: str = "", after: int | None = None) -> Subscription:
        """Listen from now on, or from behind event `after` of `epoch`.

        Must be called on the event loop that will read. The first event is `hello`, or `resync`
        if what came after `after` is no longer known.
        """
        with self._lock:
            missed = self._missed(epoch, after)
            first: EventType = "resync" if missed is None else "hello"
            listener = Subscription(self, client)
            listener._add(Event(epoch=self.epoch, type=first, data={"seq": self._seq}))
            for event in missed or ():
                listener._add(event)
            self._listeners.add(listener)
            if self._closed:
                listener._end()
        return listener

    def _missed(self, epoch: str, after: int | None) -> list[Event] | None:
        """What came after `after`; None if that cannot be told."""
        if after is None:
            return []
        oldest = self._ring[0].seq if self._ring else self._seq + 1
        if epoch != self.epoch or after > self._seq or after + 1 < (oldest or 0):
            return None
        return [event for event in self._ring if (event.seq or 0) > after]

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

    def __init__(self, bus: Bus, client: str) -> None:
        self.client = client
        self.previews = False
        self._bus = bus
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._transitions: deque[Event] = deque()
        self._latest: dict[tuple[str, str], Event] = {}
        self._ended = False
        self._lock = threading.Lock()

    async def next(self) -> list[Event]:
        """The events since the last call, at least one; an empty list is the end."""
        await self._wake.wait()
        with self._lock:
            self._wake.clear()
            if self._ended:
                self._wake.set()
                return []
            events = [*self._transitions, *self._latest.values()]
            self._transitions.clear()
            self._latest.clear()
            return events

    def _add(self, event: Event) -> None:
        def add() -> None:
            if len(self._transitions) >= RING:
                self._transitions.clear()
                event_now = Event(epoch=event.epoch, type="resync", data={"seq": event.seq})
                self._transitions.append(event_now)
            else:
                self._transitions.append(event)

        self._change(add)

    def _replace(self, key: tuple[str, str], event: Event) -> None:
        def replace() -> None:
            # Taken out first: the newest goes to the end, behind the transition it follows.
            self._latest.pop(key, None)
            self._latest[key] = event

        self._change(replace)

    def _end(self) -> None:
        def end() -> None:
            self._ended = True

        self._change(end)

    def _change(self, change: Callable[[], None]) -> None:
        with self._lock:
            change()
        self._loop.call_soon_threadsafe(self._wake.set)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bus._drop(self)
