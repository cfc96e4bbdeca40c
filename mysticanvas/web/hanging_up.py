"""Whether the client of a request is still there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

from fastapi import Request


async def hung_up(request: Request) -> AsyncIterator[Callable[[], bool]]:
    """A dependency of routes that may take long: whether their client has hung up, which can be
    asked on any thread."""
    gone = threading.Event()

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone.set()

    watching = asyncio.create_task(watch())
    try:
        yield gone.is_set
    finally:
        watching.cancel()
