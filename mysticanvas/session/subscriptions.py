"""`canvas.on`: what happens, told to functions of the user's, one after another."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Literal, Self, get_args

from mysticanvas.contracts.events import Event
from mysticanvas.contracts.refusal import refused

Topic = Literal["job", "worker", "alert", "vram", "image"]
TOPICS: tuple[str, ...] = get_args(Topic)
MOST = 10_000
"""Events that may wait for slow callbacks; the oldest are dropped beyond."""

Make = Callable[[Event], Any]
"""Turns an event into what the callback is given; None for an event that is not for it."""

_log = logging.getLogger(__name__)


class Subscription:
    """Has a callback called until it is closed; a context manager that closes it at the end."""

    def __init__(
        self,
        topic: str,
        callback: Callable[[Any], object],
        make: Make,
        drop: Callable[[Subscription], None],
    ) -> None:
        self.topic = topic
        self._callback = callback
        self._make = make
        self._drop = drop
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Have it called no more; a call that is under way goes on."""
        self._closed = True
        self._drop(self)

    def deliver(self, event: Event) -> None:
        """Call it; what it raises is logged, and the next event comes all the same."""
        if self._closed:
            return
        try:
            value = self._make(event)
            if value is not None:
                self._callback(value)
        except BaseException:  # noqa: BLE001 - whatever a user's function raises ends that call alone
            _log.exception("a callback for %r events failed", self.topic)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Subscription {self.topic!r}{' closed' if self._closed else ''}>"


class Subscriptions:
    """The subscriptions of a connection, and the one thread that calls them, in order."""

    def __init__(self) -> None:
        self._all: tuple[Subscription, ...] = ()
        self._waiting: deque[tuple[Event, tuple[Subscription, ...]]] = deque(maxlen=MOST)
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def add(self, topic: str, callback: Callable[[Any], object], make: Make) -> Subscription:
        """Have `callback` called from now on with what `make` makes of the topic's events."""
        subscription = Subscription(topic, callback, make, self._drop)
        with self._changed:
            self._all = (*self._all, subscription)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="mysticanvas-callbacks", daemon=True
                )
                self._thread.start()
        return subscription

    def take(self, event: Event) -> None:
        """Hand an event on; never waits for a callback."""
        wanting = tuple(s for s in self._all if s.topic == event.type)
        if not wanting:
            return
        with self._changed:
            if len(self._waiting) == MOST:
                _log.warning("callbacks are too slow: the oldest event was dropped")
            self._waiting.append((event, wanting))
            self._changed.notify()

    def close(self) -> None:
        """Call nobody any more, and end the thread; returns at once."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _drop(self, subscription: Subscription) -> None:
        with self._changed:
            self._all = tuple(s for s in self._all if s is not subscription)

    def _run(self) -> None:
        while (news := self._next()) is not None:
            event, wanting = news
            for subscription in wanting:
                subscription.deliver(event)

    def _next(self) -> tuple[Event, Iterable[Subscription]] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return None if self._closed else self._waiting.popleft()


def callback(given: Any) -> Callable[[Any], object]:
    """A function to call.

    Raises:
        InvalidRequest: it cannot be called.
    """
    if callable(given):
        called: Callable[[Any], object] = given
        return called
    raise refused("callback", given, "a function that takes what happened")


def topic(given: object) -> str:
    """A topic that there is.

    Raises:
        InvalidRequest: there is none of that name.
    """
    if given in TOPICS:
        return str(given)
    raise refused("event", given, ", ".join(TOPICS))
