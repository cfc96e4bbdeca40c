"""uvicorn, as every process of ours runs it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from mysticanvas import settings


class Server(uvicorn.Server):
    """uvicorn without its signal handlers and logging: both are ours to decide."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=2,
                ws_max_size=settings.MAX_BODY_BYTES,
                server_header=False,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """End `run` after the requests at hand; from any thread or signal handler."""
        self.should_exit = True
