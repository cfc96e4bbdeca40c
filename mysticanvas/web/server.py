"""uvicorn, as every process of ours runs it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from mysticanvas import settings


class _NotRefused(logging.Filter):
    """Keeps out what uvicorn says of every WebSocket that we refuse with an answer of ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "without completing handshake" not in record.getMessage()


_NOT_REFUSED = _NotRefused()


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
        logging.getLogger("uvicorn.error").addFilter(_NOT_REFUSED)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """End `run` after the requests at hand; from any thread or signal handler."""
        self.should_exit = True
