"""The middleware around every application of ours: request id, gate, body."""

from __future__ import annotations

import re
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mysticanvas import logs
from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.problem import REQUEST_ID_HEADER, Problem
from mysticanvas.errors import MystiCanvasError
from mysticanvas.web import body, connections, problems
from mysticanvas.web.gate import Gate, Refusal, has_body, repeated
from mysticanvas.web.seldom import Seldom

_log = logs.get(__name__)
_REQUEST_ID = re.compile(rb"[0-9A-Za-z_-]{8,64}")
_HEADER = REQUEST_ID_HEADER.lower().encode()


class Visits(Protocol):
    """Who wants to know of every request that passes the gate; must not block."""

    def enter(self) -> MystiCanvasError | None:
        """A request begins; why it is not let in, or None, and then `leave` follows."""

    def leave(self) -> None:
        """A request is over."""


class Shell:
    """Lets requests in, and puts their ids on log lines and answers.

    Args:
        visits: told of every request, and may refuse it.
    """

    def __init__(self, app: ASGIApp, gate: Gate, visits: Visits | None = None) -> None:
        self._app = app
        self._gate = gate
        self._visits = visits
        self._seldom = Seldom()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(_HEADER, b"")
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else new_id()
        scope["request_id"] = request_id
        with logs.bind(request_id=request_id):
            refusal = repeated(scope["headers"]) or self._gate.refusal(headers)
            if refusal is not None:
                await _refuse(refusal, scope, receive, send, self._seldom.pass_on())
                return
            connections.let_in(scope)
            if scope["type"] == "http" and has_body(headers):
                try:
                    receive = await body.read(receive)
                except body.Unreadable as unreadable:
                    refusal = unreadable.refusal
            if refusal is None and self._visits is not None:
                refusal = _unwelcome(self._visits.enter())
            if refusal is not None:
                await _refuse(refusal, scope, receive, send)
                return
            answer = _Answer(send, request_id)
            try:
                await self._app(scope, receive, answer.send)
            except Exception as error:
                _log.error("unexpected_error", path=scope["path"], exc_info=True)
                scope["app"].state.last_error = Problem.of(error, request_id)
                if answer.begun:
                    raise
                await problems.response(error, request_id)(scope, receive, answer.send)
            finally:
                if self._visits is not None:
                    self._visits.leave()


def _unwelcome(error: MystiCanvasError | None) -> Refusal | None:
    return None if error is None else Refusal(error, error.status)


async def _refuse(
    refusal: Refusal, scope: Scope, receive: Receive, send: Send, held_back: int | None = 0
) -> None:
    response = problems.response(refusal.error, scope["request_id"], refusal.status, held_back)
    response.headers[REQUEST_ID_HEADER] = scope["request_id"]
    await response(scope, receive, send)


class _Answer:
    """Puts the request's id on the answer, and knows whether there is one.

    Attributes:
        begun: whether anything was sent.
    """

    def __init__(self, send: Send, request_id: str) -> None:
        self.begun = False
        self._send = send
        self._stamp = (_HEADER, request_id.encode())

    async def send(self, message: Message) -> None:
        self.begun = True
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            message["headers"] = [*message.get("headers", []), self._stamp]
        await self._send(message)
