"""`WS /v1/events`."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from mysticanvas.contracts.events import Wish
from mysticanvas.orchestrator.events import Bus, Subscription

PATIENCE_S = 20.0
"""Seconds without room for another event after which a listener is given up."""


def routes(bus: Bus, patience_s: float = PATIENCE_S) -> APIRouter:
    router = APIRouter()

    @router.websocket("/v1/events")
    async def events(
        socket: WebSocket,
        client: Annotated[str, Query(max_length=200)] = "unnamed",
        epoch: Annotated[str, Query(max_length=64)] = "",
        after: int | None = None,
    ) -> None:
        """Everything that happens; `{"previews": true}` sent here asks for previews."""
        await socket.accept()
        with (
            bus.subscribe(client, epoch, after) as listener,
            contextlib.suppress(WebSocketDisconnect),
        ):
            sender = asyncio.create_task(_send(socket, listener, patience_s))
            receiver = asyncio.create_task(_receive(socket, listener))
            done, pending = await asyncio.wait(
                {sender, receiver}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in pending:
                task.cancel()
            try:
                for task in done:
                    task.result()
            except TimeoutError:
                # Nor would it take a word of farewell. It comes back and is told what it missed.
                return
            await socket.close(1001)

    return router


async def _send(socket: WebSocket, listener: Subscription, patience_s: float) -> None:
    while events := await listener.next():
        for event in events:
            # The server's own pings end no connection that has something left to be sent.
            async with asyncio.timeout(patience_s):
                await socket.send_text(event.text)


async def _receive(socket: WebSocket, listener: Subscription) -> None:
    while (message := await socket.receive())["type"] == "websocket.receive":
        # Anything else that somebody says is passed over, however deep it nests.
        with contextlib.suppress(ValidationError):
            listener.previews = Wish.model_validate_json(message.get("text") or "").previews
