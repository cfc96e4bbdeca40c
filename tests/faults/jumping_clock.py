"""An orchestrator whose wall clock is set all the time: a day ahead, and two days back.

Started by a kernel as the orchestrator is, with its arguments.
"""

from __future__ import annotations

import datetime
import itertools
import sys
import time
from collections.abc import Iterator
from typing import Self

from mysticanvas.orchestrator import __main__ as orchestrator
from mysticanvas.orchestrator.app import Orchestrator

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


def main() -> int:
    start = Orchestrator.start

    def started(self: Orchestrator) -> object:
        # Not before: contracts and routes are made of the real class by now.
        jump()
        return start(self)

    Orchestrator.start = started  # type: ignore[method-assign, assignment]
    return orchestrator.main()


if __name__ == "__main__":
    sys.exit(main())
