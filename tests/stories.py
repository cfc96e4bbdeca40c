"""The life of a worker as a story, told message by message without a process or a clock."""

from __future__ import annotations

import signal
from typing import Any

from mysticanvas.contracts.health import WorkerState
from mysticanvas.orchestrator.supervisor import lifecycle, messages as m
from mysticanvas.orchestrator.supervisor.deadlines import USUAL
from mysticanvas.orchestrator.supervisor.lifecycle import NEXT, Life

S = WorkerState
HELD = m.Held("digest", "starter")
TERM, KILL = m.Signal(77, signal.SIGTERM), m.Signal(77, signal.SIGKILL)


class Story:
    """A life, and what was to be done so far; `now` is moved by hand."""

    def __init__(self, *messages: Any) -> None:
        self.life, self.now, self.effects = Life(), 100.0, list[Any]()
        self.tell(*messages)

    def tell(self, *messages: Any, after_s: float = 0.0, stood_s: float = 0.0) -> list[Any]:
        """The effects of these messages.

        Args:
            after_s: seconds before, in which there was time to look.
            stood_s: seconds behind these, in which nobody ran who could have looked.
        """
        self.now += after_s
        if after_s:
            self.life = self.life._replace(seen_at=self.now)
        self.now += stood_s
        new: list[Any] = []
        for message in messages:
            before = self.life.state
            self.life, effects = lifecycle.step(self.life, message, self.now, USUAL)
            assert self.life.state is before or self.life.state in NEXT[before]
            new += effects
        self.effects += new
        return new

    @property
    def state(self) -> WorkerState:
        return self.life.state


STARTED = (m.Wanted(), m.Spawned(1, 77))
READY = (*STARTED, m.Answered(1), m.Beat(1, False, 400.0, 9000.0))
BUSY = (*READY, m.Begun(1, HELD), m.Progressed(1, "denoise", 1))
