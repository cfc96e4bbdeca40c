"""A worker process that draws plain colours, and dies where the prompt says.

Usage: as `python -m mysticanvas.workers`. A prompt is a step and how many attempts die there, such
as "denoise 1". The prompt "endless" is drawn until a file `enough` is beside the folder of
pictures; for "scarce" there is memory once the weights are offloaded. A model named "damaged"
cannot be loaded.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

from PIL import Image
from starlette.types import Receive, Scope, Send

from mysticanvas import durable
from mysticanvas.contracts.jobs import Progress
from mysticanvas.contracts.recipe import Environment
from mysticanvas.contracts.worker import Finished, GenerateTask, Loaded, Made, ModelRef, Progressed
from mysticanvas.errors import JobCancelled, ModelFileError, OutOfMemory
from mysticanvas.workers import __main__ as worker, engine, saving, server
from mysticanvas.workers.engine import Control, Emit, Options

STEPS = ["taken", "begin", "load", "encode", "denoise", "decode", "save", "made", "finished"]
"""The moments of a job: `taken` is before the answer has begun, `begin` before anything is said in
it, `save` between the content of a file and its name, `made` between two pictures, `finished`
behind the last message."""
LOAD_S = 3.0
"""What it claims that loading took."""
answering = threading.Event()
"""Set once the orchestrator has been told that its job was begun."""
_ENVIRONMENT = Environment(device="cpu", dtype="none", threads=1, versions={})


class MortalEngine:
    """Implements `workers.engine.Engine`."""

    def __init__(self, options: Options) -> None:
        self.models: list[str] = []
        self._images = options.images
        self._enough = options.images.with_name("enough")

    def load(self, model: ModelRef) -> Loaded:
        self.models = []
        if model.path == "damaged":
            raise ModelFileError("It is damaged.")
        self.models = [model.digest]
        return Loaded(digest=model.digest, device="cpu", dtype="none", seconds=0.0)

    def unload(self) -> None:
        self.models = []

    def generate(self, task: GenerateTask, emit: Emit, control: Control) -> Finished:
        if task.recipe.params.prompt == "endless":
            self._draw_until_enough(emit, control)
        die_if_fatal(task, "begin")
        answering.wait()
        for step in ("load", "encode", "denoise", "decode"):
            emit(Progressed(progress=Progress(stage=step)))
            die_if_fatal(task, step)
            if task.recipe.params.prompt == "scarce" and not task.recipe.mitigations:
                raise OutOfMemory("cpu ran out of memory.")
        # As the image engine says it: with zero for a model that is there.
        seconds = {"load": 0.0 if task.model.digest in self.models else LOAD_S}
        self.load(task.model)
        for index in range(task.recipe.params.num_images):
            emit(self._made(task, index))
            die_if_fatal(task, "made")
        return Finished(seconds=seconds)

    def _made(self, task: GenerateTask, index: int) -> Made:
        image = Image.new("RGB", (8, 8), (task.recipe.params.seed + index, 0, 0))
        if is_fatal(task, "save"):
            durable.write = lambda path, content: die(path.write_bytes(content[:99]))
        return Made(
            image_id=task.image_ids[index],
            index=index,
            recipe=task.recipe.model_copy(
                update={"batch_index": index, "environment": _ENVIRONMENT}
            ),
            mode=image.mode,
            pixels_sha256=saving.pixels_sha256(image),
            file=saving.save(self._images, image, {"picture": task.image_ids[index]}),
        )

    def _draw_until_enough(self, emit: Emit, control: Control) -> None:
        for step in itertools.count(1):
            emit(Progressed(progress=Progress(stage="denoise", step=step, steps=step + 1)))
            if control.cancelled:
                raise JobCancelled("The job was cancelled while it ran.")
            if self._enough.exists():
                return
            time.sleep(0.01)


def is_fatal(task: GenerateTask, step: str) -> bool:
    fatal, _, attempts = task.recipe.params.prompt.partition(" ")
    return step == fatal and task.attempt <= int(attempts or 0)


def die_if_fatal(task: GenerateTask, step: str) -> None:
    if is_fatal(task, step):
        die()


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class MortalStream(server.NdjsonStream):
    """Dies once its last message is sent, and before it says that there is no other."""

    task: GenerateTask

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Any) -> None:
            await send(message)
            answering.set()

        answering.clear()
        await super().__call__(scope, receive, told)

    async def _until_done(self, request_id: str) -> AsyncIterator[Any]:
        async for message in super()._until_done(request_id):
            yield message
            if isinstance(message, Finished):
                die_if_fatal(self.task, "finished")


async def generate(executor: Any, task: GenerateTask) -> Any:
    die_if_fatal(task, "taken")
    stream = await plain_generate(executor, task)
    stream.task = task
    return stream


plain_generate = server._generate


def main() -> None:
    server.NdjsonStream = MortalStream  # type: ignore[misc]
    server._generate = generate
    engine.create = lambda _kind, options, _plugins: MortalEngine(options)
    worker.main()


if __name__ == "__main__":
    # The module that the table of engines names, not a second one of the same file.
    import mortal_worker

    mortal_worker.main()
