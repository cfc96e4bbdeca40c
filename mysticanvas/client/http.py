"""HTTP to the orchestrator: token, request ids, and problems raised as the errors they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from mysticanvas import lean, transport
from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.problem import MEDIA_TYPE, REQUEST_ID_HEADER, Problem
from mysticanvas.errors import MystiCanvasError, OrchestratorUnavailable

with lean.without("httpx._main"):  # its command line, which takes half of the import
    import httpx

ANSWER_S = 30.0
"""Seconds within which the orchestrator answers what it has in memory or in its store."""
LONG_ANSWER_S = 600.0
"""Seconds for what waits on model files or on a running job."""
_CONNECT_S = 5.0


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
        self._trusted = trusted
        self._client = transport.client(url, token, httpx.Timeout(ANSWER_S, connect=_CONNECT_S))

    def request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: BaseModel | dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        answer_s: float = ANSWER_S,
    ) -> Any:
        """One call and the JSON that it answers; members of `query` that are None are left out.

        Raises:
            ConnectionLost, AnswerTimeout: no answer.
            MystiCanvasError: the problem that was answered, as the class its code names.
        """
        return self._answer(method, path, query, body, headers, answer_s).json()

    def content(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: BaseModel | None = None,
        answer_s: float = ANSWER_S,
    ) -> bytes:
        """One call and what it answers, as it is; raises as `request`."""
        return self._answer(method, path, query, body, None, answer_s).content

    def _answer(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None,
        body: BaseModel | dict[str, Any] | None,
        headers: dict[str, str] | None,
        answer_s: float,
    ) -> httpx.Response:
        sent = {REQUEST_ID_HEADER: new_id(), **(headers or {})}
        if isinstance(body, BaseModel):
            body = body.model_dump(mode="json", exclude_none=True)
        try:
            response = self._client.request(
                method,
                path,
                # None where there are none: to put nothing into a URL takes as long as a header.
                params={key: value for key, value in query.items() if value is not None}
                if query
                else None,
                json=body,
                headers=sent,
                timeout=httpx.Timeout(answer_s, connect=_CONNECT_S),
                extensions={"trace": self._connected},
            )
        except httpx.ReadTimeout as error:
            raise AnswerTimeout(f"{method} {path}: no answer within {answer_s:g} s") from error
        except httpx.TransportError as error:
            raise ConnectionLost(f"{method} {path}: {error or type(error).__name__}") from error
        except RuntimeError as error:
            # Another thread found the orchestrator lost, and closed the client that we share.
            if not self._client.is_closed:
                raise
            raise ConnectionLost(f"{method} {path}: the client was closed") from error
        if response.is_success:
            return response
        problem = _error_of(response, sent[REQUEST_ID_HEADER])
        if isinstance(problem, OrchestratorUnavailable):
            raise Stopping(problem.detail)
        raise problem

    def _connected(self, event: str, told: Mapping[str, Any]) -> None:
        """Told by the HTTP library of all that it does; a connection is looked at once it stands,
        since a look beforehand could be overtaken."""
        stands = event.startswith("connection.connect_") and event.endswith(".complete")
        if stands and not self._trusted():
            told["return_value"].close()
            raise ConnectionLost("somebody else answers at the orchestrator's address")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _error_of(response: httpx.Response, request_id: str) -> MystiCanvasError:
    if response.headers.get("content-type", "").startswith(MEDIA_TYPE):
        try:
            return Problem.model_validate_json(response.content).to_error()
        except ValidationError:
            pass
    return MystiCanvasError(
        f"The orchestrator answered {response.status_code} without saying why.",
        hint="The logs folder of the home directory has the details.",
        request_id=request_id,
    )
