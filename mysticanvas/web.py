"""The HTTP shell that orchestrator and workers share.

Every process answers errors in one shape, wants the token on every request, and puts the id of the
request on every log line.
"""

from __future__ import annotations

import contextlib
import hmac
import re
import socket
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mysticanvas import __version__, errors, logs, settings
from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.problem import MEDIA_TYPE, REQUEST_ID_HEADER, Problem

_log = logs.get(__name__)
_REQUEST_ID = re.compile(r"[0-9A-Za-z_-]{8,64}")


def create_app(title: str, token: str, on_request: Callable[[], None] | None = None) -> FastAPI:
    """An application with token check, body limit, request ids and problem documents in place.

    Args:
        token: the bearer token that every request must carry.
        on_request: called for every request that is let in; must not block.
    """
    # The interactive documentation pages would load scripts from another host.
    app = FastAPI(title=title, version=__version__, docs_url=None, redoc_url=None)
    app.add_exception_handler(errors.MystiCanvasError, _our_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _our_error)
    app.add_middleware(_Shell, token=token, on_request=on_request)
    return app


def listen(host: str = "127.0.0.1") -> socket.socket:
    """A listening socket on a free port of the loopback interface."""
    listener = socket.create_server((host, 0), backlog=256)
    listener.set_inheritable(False)
    # asyncio sets this only on sockets that name TCP as their protocol, and these do not. Without
    # it, the body of an answer waits 40 ms until its head is acknowledged.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    return listener


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


class _Shell:
    """ASGI middleware: request id, token, no browser origin, body limit."""

    def __init__(
        self, app: ASGIApp, token: str, on_request: Callable[[], None] | None = None
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._on_request = on_request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get(REQUEST_ID_HEADER, "")
        request_id = given if _REQUEST_ID.fullmatch(given) else new_id()
        scope["request_id"] = request_id
        with logs.bind(request_id=request_id):
            refusal = self._refusal(headers)
            if refusal is None:
                if self._on_request is not None:
                    self._on_request()
                limited = _limited(receive) if scope["type"] == "http" else receive
                await self._app(scope, limited, _stamped(send, request_id))
            elif scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 4403, "reason": refusal.detail})
            else:
                await problem_response(refusal, request_id)(scope, receive, send)

    def _refusal(self, headers: Headers) -> errors.MystiCanvasError | None:
        if "origin" in headers:
            return errors.PermissionDenied("Requests from a browser page are not accepted.")
        kind, _, token = headers.get("authorization", "").partition(" ")
        # Bytes, because compare_digest raises for text that is not ASCII.
        if kind.lower() != "bearer" or not hmac.compare_digest(token.encode(), self._token):
            return errors.PermissionDenied(
                "The bearer token is missing or wrong.",
                hint="It is in run/orchestrator.json of the home directory.",
            )
        if headers.get("content-length", "0").isdecimal():
            length = int(headers.get("content-length", "0"))
            if length > settings.MAX_BODY_BYTES:
                return _too_large()
        return None


def _too_large() -> errors.InvalidRequest:
    return errors.InvalidRequest(
        f"The request body is larger than {settings.MAX_BODY_BYTES:,} bytes.",
        parameter="body",
        value="",
        allowed=f"at most {settings.MAX_BODY_BYTES:,} bytes",
    )


def _limited(receive: Receive) -> Receive:
    """`receive` that refuses a body which turns out larger than its header said."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > settings.MAX_BODY_BYTES:
            raise _too_large()
        return message

    return counted


def _stamped(send: Send, request_id: str) -> Send:
    """`send` that puts the request id on the response."""

    async def stamped(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                *message.get("headers", []),
                (REQUEST_ID_HEADER.lower().encode(), request_id.encode()),
            ]
        await send(message)

    return stamped


def problem_response(error: BaseException, request_id: str) -> Response:
    """An error as the response that every process gives."""
    problem = Problem.of(error, request_id)
    _log.info("request_refused", code=problem.code, status=problem.status)
    return JSONResponse(
        problem.model_dump(mode="json"), status_code=problem.status, media_type=MEDIA_TYPE
    )


_Handler = Callable[[Request, Exception], Awaitable[Response]]


async def _our_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, errors.MystiCanvasError):
        _log.error("unexpected_error", path=request.url.path, exc_info=error)
    return problem_response(error, request.scope.get("request_id", ""))


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
    refusal = errors.InvalidRequest(
        f"{where}: {first['msg']}.",
        parameter=where,
        value=repr(first.get("input"))[:80],
        allowed=str(first["msg"]),
    )
    return problem_response(refusal, request.scope.get("request_id", ""))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = errors.NotFound if error.status_code == 404 else errors.InvalidRequest
    refusal = kind(f"{request.method} {request.url.path}: {error.detail}.")
    response = problem_response(refusal, request.scope.get("request_id", ""))
    response.status_code = error.status_code
    return response
