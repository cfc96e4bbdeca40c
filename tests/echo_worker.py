"""`python -m echo_worker …`: a worker process whose engine is the echo, started like any other."""

from __future__ import annotations

from echo import EchoEngine

from mysticanvas.contracts.worker import Finished, GenerateTask
from mysticanvas.workers import __main__ as worker, engine
from mysticanvas.workers.engine import Control, Emit, Options

LONG_STEPS = 900
"""A task of exactly so many steps ends when it is cancelled; others end at once."""


class EchoWorkerEngine(EchoEngine):
    """The echo, steered by the task alone."""

    def __init__(self, _options: Options) -> None:
        super().__init__()

    def generate(self, task: GenerateTask, emit: Emit, control: Control) -> Finished:
        if task.recipe.params.num_inference_steps == LONG_STEPS:
            self.finish.clear()
        else:
            self.finish.set()
        return super().generate(task, emit, control)


if __name__ == "__main__":
    engine.ENGINES["echo"] = "echo_worker:EchoWorkerEngine"
    worker.main()
