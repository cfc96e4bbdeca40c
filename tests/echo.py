"""An engine without a model: what it does is steered by the test, so that waiting is exact."""

from __future__ import annotations

import threading

from mysticanvas.contracts.jobs import Progress
from mysticanvas.contracts.worker import Finished, GenerateTask, Loaded, ModelRef, Progressed
from mysticanvas.errors import JobCancelled, ModelFileError
from mysticanvas.workers.engine import Control, Emit


class EchoEngine:
    """Implements `workers.engine.Engine`.

    `generate` says its stage is the prompt, then works until `finish` is set or it is cancelled.
    """

    def __init__(self) -> None:
        self.models: list[str] = []
        self.threads: set[str] = set()
        self.started = threading.Event()
        self.finish = threading.Event()
        self.failure: Exception | None = None

    def load(self, model: ModelRef) -> Loaded:
        self.threads.add(threading.current_thread().name)
        if model.path == "bad":
            raise ModelFileError("The model bad is bad.")
        self.models = [model.digest]
        return Loaded(digest=model.digest, device="cpu", dtype="float32", seconds=0.0)

    def unload(self) -> None:
        self.models = []

    def generate(self, task: GenerateTask, emit: Emit, control: Control) -> Finished:
        self.threads.add(threading.current_thread().name)
        emit(Progressed(progress=Progress(stage=task.recipe.params.prompt)))
        self.started.set()
        while not self.finish.wait(0.005):
            if control.cancelled:
                raise JobCancelled("The job was cancelled while it ran.")
        if self.failure is not None:
            raise self.failure
        return Finished(seconds={})
