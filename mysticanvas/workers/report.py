"""What a job tells while it runs, and where it learns that it is to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mysticanvas.contracts.jobs import Progress
from mysticanvas.contracts.worker import Progressed
from mysticanvas.errors import JobCancelled
from mysticanvas.workers.engine import Control, Emit

_STARTS = {"load": 0.0, "encode": 0.02, "denoise": 0.05, "decode": 0.9, "save": 0.97}
"""Share of a job that is done when a stage begins; denoising is most of it on every machine."""
STEPS_APART_S = 0.25
"""Seconds between two steps that are told: a message takes time from the sampling in three
processes, and a bar that moves four times a second moves."""


def fraction(stage: str, step: int = 0, steps: int = 0) -> float:
    """How much of a job is done, 0 to 1, after `step` of a stage's `steps`."""
    later = [start for start in _STARTS.values() if start > _STARTS[stage]]
    length = min(later, default=1.0) - _STARTS[stage]
    return _STARTS[stage] + length * (step / steps if steps else 0.0)


class Report:
    """The progress of one job, its seconds per stage, and what is to be said of it.

    Args:
        emit: where messages go.
        control: the caller's reins.
        synchronize: waits until the device has done what it was given.
        clock: seconds, from any moment on.
    """

    def __init__(
        self,
        emit: Emit,
        control: Control,
        synchronize: Callable[[], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.emit = emit
        self.seconds = dict.fromkeys(_STARTS, 0.0)
        self.notices: list[str] = []
        """What the user should know of the pictures, as it is found out."""
        self._control = control
        self._synchronize = synchronize
        self._clock = clock
        self._told = -STEPS_APART_S

    @property
    def wants_previews(self) -> bool:
        """Whether somebody listens, at this moment."""
        return self._control.previews

    @contextmanager
    def stage(self, name: str, steps: int = 0) -> Iterator[None]:
        """Announce a stage and measure it.

        Args:
            steps: how many it was asked to have, if it has any.

        Raises:
            JobCancelled: the job was cancelled before.
        """
        self.step(name, 0, steps)
        start = self._clock()
        yield
        self._synchronize()
        self.seconds[name] = self._clock() - start

    def step(self, stage: str, step: int = 0, steps: int = 0) -> None:
        """Tell of a step that is done, or of a stage that begins (step 0), which is never left
        out.

        Raises:
            JobCancelled: the job was cancelled.
        """
        if self._control.cancelled:
            raise JobCancelled("The job was cancelled while it ran.")
        now = self._clock()
        if step and now - self._told < STEPS_APART_S:
            return
        self._told = now
        progress = Progress(
            stage=stage, step=step, steps=steps, fraction=fraction(stage, step, steps)
        )
        self.emit(Progressed(progress=progress))
