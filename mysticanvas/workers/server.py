"""The HTTP face of a worker, the same for every engine."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import FastAPI
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from mysticanvas import __version__, logs, processes, web
from mysticanvas.contracts.health import Health
from mysticanvas.contracts.llm import Inspection, InspectionOrder
from mysticanvas.contracts.problem import Problem
from mysticanvas.contracts.tracing import ProfileOrder, TraceAnswer
from mysticanvas.contracts.worker import (
    Failed,
    Finished,
    GenerateTask,
    Kept,
    Loaded,
    LoadRequest,
    Message,
    PreviewSwitch,
)
from mysticanvas.workers import engine as engines
from mysticanvas.workers.engine import Control, Engine
from mysticanvas.workers.executor import Call, EngineExecutor

_log = logs.get(__name__)


def create_app(kind: str, executor: EngineExecutor, token: str, url: str) -> FastAPI:
    """The application of a worker of that kind, which answers at `url`."""
    app = web.create_app(f"MystiCanvas {kind} worker", token, url)
    started = time.monotonic()

    async def describe() -> Health:
        return Health(
            process="worker",
            kind=kind,
            state=executor.state,
            version=__version__,
            pid=os.getpid(),
            uptime_s=time.monotonic() - started,
            memory_mib=processes.memory_mib(),
            base_mib=executor.base_mib,
            memory_parts=executor.memory,
            device=await executor.device_memory(),
            device_kind=executor.device_kind,
            models=executor.models,
            worn=executor.is_worn,
            last_error=executor.problem or app.state.last_error,
        )

    @app.get("/internal/health")
    async def health() -> Health:
        """How the worker is; answered from memory, also while it imports or computes."""
        return await describe()

    _of_models(app, executor, describe)
    _of_jobs(app, executor)
    return app


def _of_models(
    app: FastAPI, executor: EngineExecutor, describe: Callable[[], Awaitable[Health]]
) -> None:
    @app.post("/v1/load")
    async def load(body: LoadRequest) -> Loaded:
        """Load a model, or keep it if it is loaded."""
        return await executor.run(lambda engine, _: engines.load(engine, body.model))

    @app.post("/v1/profile")
    async def profile(order: ProfileOrder) -> TraceAnswer:
        """What a model would need in memory; it is not loaded."""
        return await executor.run(lambda engine, _: engines.as_profiler(engine).profile(order))

    @app.post("/v1/inspect")
    async def inspect(order: InspectionOrder) -> Inspection:
        """What the file of a language model would take in memory; it is not loaded."""
        return await executor.run(lambda engine, _: engines.as_inspector(engine).inspect(order))

    @app.post("/v1/unload")
    async def unload() -> Health:
        """Give back the memory of what is loaded."""
        await executor.run(lambda engine, _: engine.unload())
        return await describe()

    @app.delete("/v1/context")
    async def drop_context() -> Health:
        """Give back what the context of a language model holds, and keep its weights. The next load
        of the same model makes the context again."""
        await executor.run(lambda engine, _: engines.as_text_engine(engine).drop_context())
        return await describe()


def _of_jobs(app: FastAPI, executor: EngineExecutor) -> None:
    @app.put("/v1/previews")
    async def previews(body: PreviewSwitch) -> PreviewSwitch:
        """Make previews in the job that runs, or no longer."""
        if executor.control is not None:
            executor.control.previews = body.enabled
        return body

    # With its status, which FastAPI does not find in a class of ours for the document.
    @app.post("/v1/generate", response_class=NdjsonStream, status_code=200)
    async def generate(task: GenerateTask) -> Response:
        """Make pictures; one `Message` a line. Closing the connection cancels."""
        with logs.bind(job_id=task.job_id, attempt=task.attempt):
            return await _generate(executor, task)


async def _generate(executor: EngineExecutor, task: GenerateTask) -> Response:
    loop = asyncio.get_running_loop()
    messages: asyncio.Queue[Message | None] = asyncio.Queue()

    def emit(message: Message) -> None:
        loop.call_soon_threadsafe(messages.put_nowait, message)

    def work(engine: Engine, control: Control) -> Finished | Kept:
        _log.info("generate_started", images=len(task.image_ids))
        last = engines.as_image_engine(engine).generate(task, emit, control)
        _log.info("generate_done", last=last.type, seconds=last.seconds)
        return last

    call = await executor.start(work, Control(previews=task.previews))
    call.result.add_done_callback(lambda _: messages.put_nowait(None))
    return NdjsonStream(call, messages)


class NdjsonStream(Response):
    """Sends each message as a line at once, and cancels the call when the client goes away.

    The client's leaving is watched for itself: between two lines there is nothing to send that
    could fail.
    """

    media_type = "application/x-ndjson"

    def __init__(
        self, call: Call[Finished | Kept], messages: asyncio.Queue[Message | None]
    ) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._call = call
        self._messages = messages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watch = asyncio.create_task(self._cancel_when_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for message in self._until_done(scope["request_id"]):
                line = message.model_dump_json().encode() + b"\n"
                await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except OSError:
            pass  # the client is gone, and the call is cancelled below
        finally:
            watch.cancel()
            self._call.cancel()

    async def _cancel_when_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._call.cancel()

    async def _until_done(self, request_id: str) -> AsyncIterator[Message]:
        while (message := await self._messages.get()) is not None:
            yield message
        error = self._call.result.exception()
        if error is None:
            yield self._call.result.result()
        else:
            yield Failed(problem=Problem.of(error, request_id))
