"""The memory events of a whole job, put together from traces of its phases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mysticanvas.vram.allocator import Event

_GRAIN = 512
"""The allocator of CUDA gives out multiples of so many bytes."""


class Trace(NamedTuple):
    """Events of a call that begins and ends with nothing but the weights."""

    events: tuple[Event, ...]

    @classmethod
    def of(cls, events: Sequence[Event]) -> Trace:
        """With what is left at the end given back."""
        held: dict[int, int] = {}
        for number, size in events:
            if size > 0:
                held[number] = size
            else:
                held.pop(number)
        return cls((*events, *(Event(number, -size) for number, size in held.items())))


class Tape:
    """Events in their order, numbered anew."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._count = 0

    def take(self, size: int) -> Event:
        """Memory that is given back by `give`, of so many bytes, rounded up."""
        self._count += 1
        event = Event(self._count, -(-size // _GRAIN) * _GRAIN)
        self.events.append(event)
        return event

    def give(self, event: Event) -> None:
        """Give back what `take` took."""
        self.events.append(Event(event.number, -event.size))

    def play(self, trace: Trace) -> None:
        """Add a call."""
        offset = self._count
        self.events += [Event(offset + number, size) for number, size in trace.events]
        self._count += max((number for number, _ in trace.events), default=0)
