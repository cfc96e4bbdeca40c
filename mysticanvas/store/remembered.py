"""Rows that are read again and again and rarely written, kept in memory.

The one process that has the database is also the only one that writes to it, so what it read stays
true until it writes itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_MOST = 1024


class Bounded(dict[K, V]):
    """Values by key that forgets all of them when it is full, so that a process which lives for
    months holds no more than it did after days."""

    def __setitem__(self, key: K, value: V) -> None:
        if len(self) >= _MOST:
            self.clear()
        super().__setitem__(key, value)


class Remembered(Generic[K, V]):
    """What was read, by key; thread-safe. The values must not be changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: Bounded[K, V] = Bounded()
        self._written = 0

    def get(self, key: K, read: Callable[[], V]) -> V:
        """The value of a key; `read` gives it if it is not known."""
        with self._lock:
            if key in self._values:
                return self._values[key]
            written = self._written
        value = read()
        with self._lock:
            # What was read before a write may be older than the write.
            if written == self._written:
                self._values[key] = value
        return value

    def forget(self) -> None:
        """Read everything again: to be called after each write, when it is committed."""
        with self._lock:
            self._written += 1
            self._values.clear()
