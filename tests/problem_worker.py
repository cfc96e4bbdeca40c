"""A worker process that misbehaves, as its environment and the prompts of its jobs say.

It is run as `python -m problem_worker`, with the arguments of `python -m mysticanvas.workers`,
whose shell it has. `PROBLEM_START` is what it does when it starts: `PROBLEM_TIMES` processes do so,
which are counted in the file `PROBLEM_COUNT`; those behind are well. A prompt is `PROBLEM STAGE
TIMES`: the problem that is met at a stage of the job by its first attempts. Pictures are plain
colours.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import io
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from PIL import Image
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mysticanvas import processes
from mysticanvas.contracts.images import FileRecord
from mysticanvas.contracts.jobs import Progress
from mysticanvas.contracts.recipe import Environment
from mysticanvas.contracts.worker import (
    Finished,
    GenerateTask,
    Kept,
    Loaded,
    Made,
    ModelRef,
    PhaseUse,
    Progressed,
    RanOut,
)
from mysticanvas.errors import JobCancelled, OutOfMemory
from mysticanvas.workers import __main__ as program, engine, server
from mysticanvas.workers.engine import Control, Emit, Options

TAKE = "take"
"""The stage of a job in which the worker has read of it and not begun to answer."""
STAGES = ("load", "encode", "denoise", "decode", "save")
ENDS = ("kill", "segv", "exit", "stop")
"""Problems after which nothing in the process goes on; `stop` is as if it swapped, or were being
debugged."""
FLOOD_BYTES = 4 << 20
NAP_S = 6.0
_ENVIRONMENT = Environment(device="cpu", dtype="none", threads=1, versions={})


class Broken(Exception):
    """The connection is to break here."""


class Garbled(Exception):
    """Nonsense is to be answered from here on."""


class ProblemEngine:
    """Implements `workers.engine.Engine`."""

    answering = threading.Event()
    """Set once a first message of the job was sent."""
    raving = False
    claimed: list[PhaseUse] = []
    """What phases of the job are said to have taken."""

    def __init__(self, options: Options) -> None:
        self.models: list[str] = []
        self._images = options.images
        self._latents = options.latents
        meet_at_start("import")

    def load(self, model: ModelRef) -> Loaded:
        self.models = [model.digest]
        return Loaded(digest=model.digest, device="cpu", dtype="none", seconds=0.0)

    def unload(self) -> None:
        self.models = []

    def generate(self, task: GenerateTask, emit: Emit, control: Control) -> Finished | Kept:
        self.answering.clear()
        self.claimed = []
        late = False
        if task.latents is not None:
            return self._decoded(task, emit)
        for step, name in enumerate(STAGES):
            emit(Progressed(progress=Progress(stage=name, step=step, steps=len(STAGES))))
            if met := problem_of(task, name):
                # So that it is known how far it was.
                self.answering.wait()
                end(met) if met in ENDS else getattr(self, met)(control)
            if met == "keep":
                return self._kept(task)
            late = late or met == "late"
            if control.cancelled and not late:
                raise JobCancelled("The job was cancelled while it ran.")
        self.load(task.model)
        for index in range(task.recipe.params.num_images):
            emit(self._made(task, index))
        return Finished(seconds={"denoise": 1.0}, phases=self.claimed)

    def _kept(self, task: GenerateTask) -> Kept:
        """Cannot decode what was sampled."""
        assert self._latents is not None
        self._latents.mkdir(mode=0o700, exist_ok=True)
        name = f"{task.job_id}-{task.attempt}.safetensors"
        (self._latents / name).write_text(str(os.getpid()))
        where = RanOut(
            phases=[PhaseUse(phase="vae_decode", bytes=0, at_least=True)], environment=_ENVIRONMENT
        )
        return Kept(
            latents=name, mitigations=("offload_model",), seconds={"denoise": 2.0}, ran_out=where
        )

    def _decoded(self, task: GenerateTask, emit: Emit) -> Finished:
        """What another process kept, or what befalls this one: the fourth word of a prompt."""
        emit(Progressed(progress=Progress(stage="decode")))
        self.answering.wait()
        assert self._latents is not None
        assert (self._latents / str(task.latents)).read_text() != str(os.getpid())
        then = task.recipe.params.prompt.split()[3:]
        if then == ["starve"]:
            self.starve(Control())
        if then:
            end(then[0])
        self.load(task.model)
        emit(self._made(task, 0))
        return Finished(seconds={"decode": 1.0}, phases=[PhaseUse(phase="vae_decode", bytes=5)])

    def keep(self, control: Control) -> None:
        """Goes on, and its latents are kept."""

    def _made(self, task: GenerateTask, index: int) -> Made:
        image = Image.new("RGB", (8, 8), (task.recipe.params.seed + index, 0, 0))
        content = io.BytesIO()
        image.save(content, "PNG")
        digest = hashlib.sha256(content.getvalue() + task.image_ids[index].encode()).hexdigest()
        path = self._images / f"{digest}.png"
        path.write_bytes(content.getvalue())
        return Made(
            image_id=task.image_ids[index],
            index=index,
            recipe=task.recipe.model_copy(
                update={"batch_index": index, "environment": _ENVIRONMENT}
            ),
            mode="RGB",
            pixels_sha256=hashlib.sha256(image.tobytes()).hexdigest(),
            file=FileRecord(
                path=f"images/{path.name}", sha256=digest, bytes=path.stat().st_size, width=8,
                height=8,
            ),
        )  # fmt: skip

    # What a prompt can ask for. --------------------------------------------------------------

    def wait(self, control: Control) -> None:
        """Until it is cancelled."""
        while not control.cancelled:
            time.sleep(0.01)

    def stick(self, control: Control) -> None:
        """For ever, whoever asks."""
        while True:
            time.sleep(0.1)

    def nap(self, control: Control) -> None:
        """A step that takes long; whoever asks, it comes to its end."""
        time.sleep(NAP_S)

    def late(self, control: Control) -> None:
        """Until it is told to end; then it goes on as if nothing were."""
        self.wait(control)

    def flood(self, control: Control) -> None:
        line = b"a library that says the same thing over and over again\n"
        for _ in range(FLOOD_BYTES // len(line)):
            os.write(2, line)

    def spawn(self, control: Control) -> None:
        """Children of its own, one of them in another group; their pids are in a file."""
        command = [sys.executable, "-c", "import time\nwhile True: time.sleep(1)"]
        own = subprocess.Popen(command)
        other = subprocess.Popen(command, process_group=0)
        pids = self._images.with_name("grandchildren")
        pids.with_suffix(".tmp").write_text(f"{own.pid} {other.pid}")
        pids.with_suffix(".tmp").rename(pids)
        end("kill")

    def close(self, control: Control) -> None:
        raise Broken

    def garble(self, control: Control) -> None:
        raise Garbled

    def lie(self, control: Control) -> None:
        """Claims to have taken a gigabyte."""
        self.claimed = [PhaseUse(phase="denoise", bytes=1 << 30)]

    def starve(self, control: Control) -> None:
        """Runs out of memory while it denoises."""
        where = RanOut(
            phases=[PhaseUse(phase="denoise", bytes=0, at_least=True)], environment=_ENVIRONMENT
        )
        raise OutOfMemory("cpu ran out of memory.", ran_out=where.model_dump(mode="json"))

    def rave(self, control: Control) -> None:
        """Answers nonsense to whoever asks how it is, from here on."""
        ProblemEngine.raving = True

    def ail(self, control: Control) -> None:
        """Runs out of memory, and raves from here on."""
        self.rave(control)
        self.starve(control)


class ProblemStream(server.NdjsonStream):
    """Breaks, or talks nonsense, where the engine says so."""

    async def _until_done(self, request_id: str) -> AsyncIterator[Any]:
        async for message in super()._until_done(request_id):
            error = self._call.result.exception() if self._call.result.done() else None
            if isinstance(error, Broken):
                close_sockets()
                await asyncio.sleep(3600)
            if isinstance(error, Garbled):
                yield Nonsense()
                await asyncio.sleep(3600)
            yield message
            ProblemEngine.answering.set()


class Raving:
    """Answers for the application once the engine raves: no JSON, JSON of no use, an error without
    a reason, in turn."""

    ANSWERS = ((200, b"<html>I am a proxy</html>"), (200, b"[[[1]]]"), (500, b"{}"))

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._answers = itertools.cycle(self.ANSWERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/internal/health" and self._raves():
            status, body = next(self._answers)
            await Response(body, status)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    @staticmethod
    def _raves() -> bool:
        return ProblemEngine.raving


class Nonsense:
    def model_dump_json(self) -> str:
        return "<html>I am a proxy</html>"


def close_sockets() -> None:
    """Every connection, and the one that is listened on; the process lives on."""
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(entry.name))) as found:
            if found.family == socket.AF_INET:
                found.shutdown(socket.SHUT_RDWR)


def meet_at_start(moment: str) -> None:
    """The problem of the environment, if this is its moment and its turn."""
    wanted, _, when = os.environ.get("PROBLEM_START", "").partition(" ")
    if when != moment or not my_turn():
        return
    if wanted == "stick":
        while True:
            time.sleep(0.1)
    if wanted == "raise":
        raise ImportError("libcudart.so.12 is missing")
    end(wanted)


def end(how: str) -> None:
    """Exit with an error, or get the signal of this name."""
    if how == "exit":
        sys.stderr.write("ImportError: libcudart.so.12 is missing\n")
        sys.stderr.flush()
        os._exit(3)
    os.kill(os.getpid(), getattr(signal, f"SIG{how.upper()}"))


def problem_of(task: GenerateTask, stage: str) -> str:
    """The problem that this attempt meets at that stage; empty if it meets none."""
    problem, where, times = (*task.recipe.params.prompt.split()[:3], "", "", "0")[:3]
    return problem if where == stage and task.attempt <= int(times) else ""


async def generate(executor: Any, task: GenerateTask) -> Any:
    if met := problem_of(task, TAKE):
        end(met)
    return await plain_generate(executor, task)


plain_generate = server._generate


def create_app(*arguments: Any) -> FastAPI:
    app = plain_create_app(*arguments)
    app.add_middleware(importlib.import_module("problem_worker").Raving)
    return app


plain_create_app = server.create_app


def my_turn() -> bool:
    count = Path(os.environ["PROBLEM_COUNT"])
    with count.open("ab") as file:
        file.write(b".")
    return count.stat().st_size <= int(os.environ.get("PROBLEM_TIMES", "1"))


def report_ready(ready_fd: int, report: Any) -> None:
    meet_at_start("ready")
    plain_report_ready(ready_fd, report)


plain_report_ready = processes.report_ready

if __name__ == "__main__":
    meet_at_start("start")
    if os.environ.get("PROBLEM_DEAF"):
        # The shell's own handler would replace this one.
        asyncio.unix_events._UnixSelectorEventLoop.add_signal_handler = lambda *_: None
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    processes.report_ready = report_ready
    # The engine's module, which is not this one although it has its text.
    problem = importlib.import_module("problem_worker")
    server.NdjsonStream = problem.ProblemStream
    server._generate = generate
    server.create_app = create_app
    engine.create = lambda _kind, options, _plugins: problem.ProblemEngine(options)
    program.main()
