"""What every process answers when something is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from mysticanvas import errors, logs
from mysticanvas.contracts import params
from mysticanvas.contracts.problem import MEDIA_TYPE, Problem

_log = logs.get(__name__)
_PLACES = ("body", "query")
"""Where in a request a parameter is, which is no part of its name."""


def response(
    error: BaseException, request_id: str, status: int | None = None, held_back: int | None = 0
) -> Response:
    """An error as the response that every process gives.

    Args:
        status: another than the usual one of the error's class.
        held_back: how many before it were not logged; None if this one is not to be, either.
    """
    problem = Problem.of(error, request_id)
    if status is not None:
        problem = problem.model_copy(update={"status": status})
    if held_back is not None:
        more = {"held_back": held_back} if held_back else {}
        _log.info("request_refused", code=problem.code, status=problem.status, **more)
    # In ASCII, and with text for what JSON does not have: refused values are in it, and they may
    # be anything.
    text = json.dumps(dict(problem), default=str)
    return Response(text, status_code=problem.status, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Have an application answer so, whatever it refuses, one that asks for a WebSocket included.
    What nobody foresaw is for the shell: an application answers that outside of every middleware,
    where the request's id is not known."""
    app.add_exception_handler(errors.MystiCanvasError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(WebSocketRequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.router.default = _nowhere


async def _ours(request: Request, error: Exception) -> Response:
    return response(error, request.scope["request_id"])


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError | WebSocketRequestValidationError)
    return response(refusal(error.errors()[0]), request.scope["request_id"])


def refusal(first: Mapping[str, Any]) -> errors.InvalidRequest:
    """The error for the first thing that a request has wrong; an argument of `generate` in the
    words of the kernel.

    Args:
        first: as pydantic tells it.
    """
    path = [str(part) for part in first["loc"] if part not in _PLACES]
    where = ".".join(path) or "body"
    of_generate = path[path[:1] == ["generate"] :]
    known = of_generate[:1] == ["params"] and len(of_generate) > 1 and first["type"] != "missing"
    said = str(first.get("ctx", {}).get("error", "")) if first["type"] == "value_error" else ""
    if known and first["type"] == "extra_forbidden":
        unknown = params.unknown_parameter(of_generate[1])
        unknown.extra["parameter"] = where
        return unknown
    if known and of_generate[1] in params.ALLOWED:
        return params.refused(where, first.get("input"), params.ALLOWED[of_generate[1]], said)
    words = said or str(first["msg"])
    return errors.InvalidRequest(
        f"{where}: {words}{'' if words.endswith(('.', '?')) else '.'}",
        parameter=where,
        value=repr(first.get("input"))[:80],
        allowed=words,
    )


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = errors.NotFound if error.status_code == 404 else errors.InvalidRequest
    # One that asks for a WebSocket is a GET.
    method = request.scope.get("method", "GET")
    refusal = kind(f"{method} {request.url.path}: {error.detail}.")
    answer = response(refusal, request.scope["request_id"], error.status_code)
    answer.headers.update(error.headers or {})
    return answer


async def _nowhere(*_: object) -> None:
    """What is called for a path that nothing has; starlette's own gives a WebSocket no reason."""
    raise HTTPException(404)
