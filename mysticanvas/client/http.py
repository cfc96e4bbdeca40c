"""HTTP to the orchestrator: token, request ids, and problems raised as the errors they are."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.parse
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any

from pydantic import BaseModel, ValidationError

from mysticanvas import transport
from mysticanvas.client.pool import Pool
from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.problem import MEDIA_TYPE, REQUEST_ID_HEADER, Problem
from mysticanvas.contracts.refusal import is_unicode, refused
from mysticanvas.errors import InvalidRequest, MystiCanvasError, OrchestratorUnavailable

AT_ONCE_S = 5.0
"""Seconds within which an orchestrator that does not hang says how it is."""
ANSWER_S = 30.0
"""Seconds within which the orchestrator answers what it has in memory or in its store."""
LONG_ANSWER_S = 600.0
"""Seconds for what waits on a running job, or on files that are not very large."""
FIRST_USE_S = 3600.0
"""Seconds for what may read all files of a model: 100 GB at 28 MB/s."""
WAITING_S = 0.1
"""Seconds between two looks whether an answer has come, where somebody is told that none has."""


class ConnectionLost(Exception):
    """There was no answer, so the call was carried out or was not; it is safe to repeat it.

    It never leaves the kernel side: a connection repeats the call or says what to do.
    """


class AnswerTimeout(ConnectionLost):
    """The connection stands, but the answer did not come in time."""


class Stopping(ConnectionLost):
    """The orchestrator lets nobody in any more: it is about to end."""


class HttpClient:
    """One orchestrator by its address; thread-safe.

    Args:
        url: its address, such as `http://127.0.0.1:40123`.
        token: bearer token of its runtime file.
        trusted: asked of each new connection before anything is sent: whether it leads there.
    """

    def __init__(self, url: str, token: str, trusted: Callable[[], bool] = lambda: True) -> None:
        self._pool = Pool(url, trusted)
        self._prefix = transport.prefix(url)
        self._authorization = f"Bearer {token}"

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: BaseModel | dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        answer_s: float = ANSWER_S,
        waiting: Callable[[], None] | None = None,
    ) -> bytes:
        """One call and what it answers; members of `query` that are None are left out.

        Args:
            answer_s: seconds after which no answer is waited for any more.
            waiting: called again and again while there is no answer.

        Raises:
            ConnectionLost, AnswerTimeout: no answer.
            InvalidRequest: text in `query` or `body` is no Unicode; names the member.
            MystiCanvasError: the problem that was answered, as the class its code names.
        """
        request_id = new_id()
        sent = {"Authorization": self._authorization, REQUEST_ID_HEADER: request_id}
        content = _encoded(body)
        if content is not None:
            sent["Content-Type"] = "application/json"
        target = self._prefix + urllib.parse.quote(path) + _query(query or {})
        try:
            with self._pool.lent() as connection:
                connection.sock.settimeout(answer_s)
                # Who refuses a body answers before it has come, and then takes no more of it.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(method, target, content, {**sent, **(headers or {})})
                try:
                    if waiting is not None:
                        _wait(connection, answer_s, waiting)
                    response = connection.getresponse()
                    answer = response.read()
                except TimeoutError as error:
                    late = f"{method} {path}: no answer within {answer_s:g} s"
                    raise AnswerTimeout(late) from error
        except (OSError, HTTPException) as error:
            raise ConnectionLost(f"{method} {path}: {error or type(error).__name__}") from error
        if 200 <= response.status < 300:
            return answer
        problem = _error_of(response, answer, request_id)
        if isinstance(problem, OrchestratorUnavailable):
            raise Stopping(problem.detail)
        raise problem

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


def _wait(connection: HTTPConnection, answer_s: float, waiting: Callable[[], None]) -> None:
    """Wait for the begin of an answer.

    Raises:
        TimeoutError: none has come.
    """
    deadline = time.monotonic() + answer_s
    while not transport.is_heard(connection, WAITING_S):
        if time.monotonic() > deadline:
            raise TimeoutError
        waiting()


def _encoded(body: BaseModel | dict[str, Any] | None) -> bytes | None:
    """A body as JSON; what JSON does not have is an error here, and not a null there."""
    if isinstance(body, BaseModel):
        body = body.model_dump(mode="json", exclude_none=True)
    if body is None:
        return None
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise _no_text(body) from None


def _query(members: Mapping[str, Any]) -> str:
    """The query with its question mark; a list gives its name several times, and an empty one
    once, with nothing behind it."""
    given = {
        name: json.dumps(value) if isinstance(value, bool) else "" if value == [] else value
        for name, value in members.items()
        if value is not None
    }
    try:
        return f"?{urllib.parse.urlencode(given, doseq=True)}" if given else ""
    except UnicodeEncodeError:
        raise _no_text(given) from None


def _no_text(members: Mapping[str, Any]) -> InvalidRequest:
    """The error for members one of which has half a surrogate pair, which cannot be sent."""
    name = next(name for name, value in members.items() if not is_unicode([name, value]))
    return refused(name, members[name], "Unicode text")


def _error_of(response: HTTPResponse, answer: bytes, request_id: str) -> MystiCanvasError:
    if response.headers.get("content-type", "").startswith(MEDIA_TYPE):
        try:
            return Problem.model_validate_json(answer).to_error()
        except ValidationError:
            pass
    return MystiCanvasError(
        f"The orchestrator answered {response.status} without saying why.",
        hint="The logs folder of the home directory has the details.",
        request_id=request_id,
    )
