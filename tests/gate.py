"""The echo engine with a gate at each step, opened by the test, so that waiting is exact."""

from __future__ import annotations

import threading
from pathlib import Path

from mysticanvas_echo.engine import EchoEngine

from mysticanvas.contracts.worker import Finished, GenerateTask, Loaded, ModelRef
from mysticanvas.workers.engine import Control, Emit, Options


class GatedEngine(EchoEngine):
    """`started` is set when a job waits at the gate. It goes on when `finish` is set, and fails if
    there is a `failure`; a cancelled one is let through. `threads` are those that called."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Options(images=folder), pause=self._wait)
        self.threads: set[str] = set()
        self.started = threading.Event()
        self.finish = threading.Event()
        self.failure: Exception | None = None
        self._control = Control()

    def load(self, model: ModelRef) -> Loaded:
        self.threads.add(threading.current_thread().name)
        return super().load(model)

    def generate(self, task: GenerateTask, emit: Emit, control: Control) -> Finished:
        self.threads.add(threading.current_thread().name)
        self._control = control
        return super().generate(task, emit, control)

    def _wait(self, _seconds: float) -> None:
        self.started.set()
        while not self.finish.wait(0.005):
            if self._control.cancelled:
                return
        if self.failure is not None:
            raise self.failure
