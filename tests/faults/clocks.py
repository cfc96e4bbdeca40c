"""A wall clock that is set all the time, for whatever process asks for that: a day ahead, and two
days back."""

from __future__ import annotations

import datetime
import itertools
import sys
import time
from collections.abc import Iterator
from typing import Self

DAY_S = 86_400
JUMPS_S: Iterator[int] = itertools.cycle([0, DAY_S, -DAY_S])
"""The difference to the right time, at each look at the clock."""


class Jumping(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Self:
        now = super().now(tz)
        return now + datetime.timedelta(seconds=next(JUMPS_S))


def jump() -> None:
    """Have every look at the wall clock from now on see another time."""
    time_ns, seconds = time.time_ns, time.time
    time.time_ns = lambda: time_ns() + next(JUMPS_S) * 10**9
    time.time = lambda: seconds() + next(JUMPS_S)
    for name, module in list(sys.modules.items()):
        if name.startswith("mysticanvas.") and getattr(module, "datetime", None) is not None:
            if module.datetime is datetime.datetime:
                module.datetime = Jumping
            elif module.datetime is datetime:
                module.datetime = Looking()


class Looking:
    """Stands for the module `datetime`."""

    datetime = Jumping

    def __getattr__(self, name: str) -> object:
        return getattr(datetime, name)
