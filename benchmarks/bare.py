"""A server of FastAPI and nothing else that answers health, for `benchmarks.roundtrip`."""

from __future__ import annotations

import asyncio
import os
import socket

import uvicorn
from fastapi import FastAPI

from benchmarks import child
from mysticanvas.contracts.health import Health, QueueStatus, WorkerState, WorkerStatus

app = FastAPI()
_WORKER = WorkerStatus(kind="image", pid=os.getpid(), state=WorkerState.READY, restarts=0)


@app.get("/internal/health")
async def health() -> Health:
    """A document like that of an orchestrator."""
    return Health(
        process="orchestrator",
        state=WorkerState.READY,
        version="1.0.0",
        pid=os.getpid(),
        uptime_s=1.0,
        memory_mib=100.0,
        queue=QueueStatus(queued=0, running=0),
        workers=[_WORKER],
    )


async def _serve() -> None:
    # As uvicorn makes it when it is given a port: the protocol is named, so asyncio sends at once.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    # Before its address is told: whoever connects at once waits, and is not refused.
    listener.listen()
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    child.answer(url="http://{}:{}".format(*listener.getsockname()))
    await asyncio.to_thread(child.serve, lambda _: {})
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(_serve())
