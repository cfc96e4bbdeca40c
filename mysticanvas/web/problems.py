"""What every process answers when something is wrong."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from mysticanvas import errors, logs
from mysticanvas.contracts.problem import MEDIA_TYPE, Problem

_log = logs.get(__name__)
_PLACES = ("body", "query")
"""Where in a request a parameter is, which is no part of its name."""


def response(error: BaseException, request_id: str, status: int | None = None) -> Response:
    """An error as the response that every process gives.

    Args:
        status: another than the usual one of the error's class.
    """
    problem = Problem.of(error, request_id)
    if status is not None:
        problem = problem.model_copy(update={"status": status})
    _log.info("request_refused", code=problem.code, status=problem.status)
    # In ASCII, and with text for what JSON does not have: refused values are in it, and they may
    # be anything.
    text = json.dumps(dict(problem), default=str)
    return Response(text, status_code=problem.status, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Have an application answer so, whatever it refuses. What nobody foresaw is for the shell: an
    application answers that outside of every middleware, where the request's id is not known."""
    app.add_exception_handler(errors.MystiCanvasError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


async def _ours(request: Request, error: Exception) -> Response:
    return response(error, request.scope["request_id"])


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in _PLACES) or "body"
    refusal = errors.InvalidRequest(
        f"{where}: {first['msg']}.",
        parameter=where,
        value=repr(first.get("input"))[:80],
        allowed=str(first["msg"]),
    )
    return response(refusal, request.scope["request_id"])


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = errors.NotFound if error.status_code == 404 else errors.InvalidRequest
    refusal = kind(f"{request.method} {request.url.path}: {error.detail}.")
    answer = response(refusal, request.scope["request_id"], error.status_code)
    answer.headers.update(error.headers or {})
    return answer
