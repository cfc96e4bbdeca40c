"""uvicorn, as every process of ours runs it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI

from mysticanvas import settings
from mysticanvas.web.connections import LIMITS, Connection, Limits
from mysticanvas.web.seldom import Seldom

_BACKLOG = 128
"""Connections that are taken in one go, before any of them is counted."""

TICK_S = 1.0
"""Seconds between two looks at the time, which every answer tells as its date."""


class _Heard(logging.Filter):
    """Keeps out what uvicorn says of every WebSocket that we refuse with an answer of ours, and
    most of its warnings, which anybody can cause without a token."""

    def __init__(self) -> None:
        super().__init__()
        self._seldom = Seldom()

    def filter(self, record: logging.LogRecord) -> bool:
        if "without completing handshake" in record.getMessage():
            return False
        return record.levelno != logging.WARNING or self._seldom.pass_on() is not None


_HEARD = _Heard()


class Server(uvicorn.Server):
    """uvicorn without its signal handlers and logging: both are ours to decide.

    Args:
        limits: of its connections.
    """

    def __init__(self, app: FastAPI, limits: Limits = LIMITS) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                # It is called as a class would be.
                http=functools.partial(Connection, limits=limits),  # type: ignore[arg-type]
                backlog=_BACKLOG,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=2,
                ws_max_size=settings.MAX_BODY_BYTES,
                server_header=False,
            )
        )
        logging.getLogger("uvicorn.error").addFilter(_HEARD)
        self._wake: Callable[[], object] = lambda: None

    async def main_loop(self) -> None:
        """Wait for `stop`. uvicorn looks for it ten times a second, which wakes an idle machine."""
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._wake = lambda: loop.call_soon_threadsafe(stopped.set)
        # Of a tick with that number, it brings the date up to date.
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), TICK_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """End `run` after the requests at hand; from any thread or signal handler."""
        self.should_exit = True
        # It may have ended by itself.
        with contextlib.suppress(RuntimeError):
            self._wake()
