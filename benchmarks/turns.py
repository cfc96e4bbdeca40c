"""Things that are compared take turns, so that whatever the machine does meets all of them."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterable, Mapping

Turn = Callable[[], object]

WARM_UP = 3


def alternate(
    turns: Mapping[str, Turn], rounds: int, warm_up: int = WARM_UP
) -> dict[str, list[float]]:
    """Seconds of each turn by name, in a fresh order each round; the rounds of the warm-up do not
    count."""
    order = random.Random(0)
    taken: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(warm_up + rounds):
        for name in order.sample(list(turns), len(turns)):
            taken[name].append(seconds(turns[name]))
    return {name: times[warm_up:] for name, times in taken.items()}


def seconds(turn: Turn) -> float:
    """What one turn takes."""
    began = time.perf_counter()
    turn()
    return time.perf_counter() - began


def each_of(turns: Iterable[Turn]) -> Turn:
    """One turn after the other, again and again: no call repeats the one before it."""
    cycle = itertools.cycle(turns)
    return lambda: next(cycle)()
