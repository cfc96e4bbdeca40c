"""The middleware around every application of ours: request id, gate, body."""

from __future__ import annotations

import re
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mysticanvas import logs
from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.problem import REQUEST_ID_HEADER
from mysticanvas.web import body, problems
from mysticanvas.web.gate import Gate, Refusal, has_body

_REQUEST_ID = re.compile(rb"[0-9A-Za-z_-]{8,64}")
_HEADER = REQUEST_ID_HEADER.lower().encode()


class Shell:
    """Lets requests in, and puts their ids on log lines and answers.

    Args:
        on_request: called for every request that is let in; must not block.
    """

    def __init__(
        self, app: ASGIApp, gate: Gate, on_request: Callable[[], None] | None = None
    ) -> None:
        self._app = app
        self._gate = gate
        self._on_request = on_request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(_HEADER, b"")
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else new_id()
        scope["request_id"] = request_id
        with logs.bind(request_id=request_id):
            refusal = self._gate.refusal(headers)
            if refusal is None and scope["type"] == "http" and has_body(headers):
                try:
                    receive = await body.read(receive)
                except body.Unreadable as unreadable:
                    refusal = unreadable.refusal
            if refusal is not None:
                await _refuse(refusal, scope, receive, send)
                return
            if self._on_request is not None:
                self._on_request()
            await self._app(scope, receive, _stamped(send, request_id))


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    response = problems.response(refusal.error, scope["request_id"], refusal.status)
    response.headers[REQUEST_ID_HEADER] = scope["request_id"]
    await response(scope, receive, send)


def _stamped(send: Send, request_id: str) -> Send:
    """`send` that puts the request id on the response."""
    stamp = (_HEADER, request_id.encode())

    async def stamped(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), stamp]
        await send(message)

    return stamped
