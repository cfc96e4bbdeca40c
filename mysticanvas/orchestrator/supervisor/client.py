"""HTTP to one worker process."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse, RemoteDisconnected
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from mysticanvas import logs, transport
from mysticanvas.contracts.health import Health
from mysticanvas.contracts.llm import Inspection, InspectionOrder
from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.problem import REQUEST_ID_HEADER, Problem
from mysticanvas.contracts.tracing import ProfileOrder, TraceAnswer
from mysticanvas.contracts.worker import (
    MESSAGE,
    AnyModelRef,
    Failed,
    GenerateTask,
    Loaded,
    LoadRequest,
    Message,
    PreviewSwitch,
)
from mysticanvas.errors import MystiCanvasError, WorkerCrashed

_QUICK_S = 10.0
"""Seconds to connect, and to send."""
_FREE_S = 60.0
"""To give memory back, for which nothing is computed."""
_INSPECT_S = 900.0
"""To look into a model's file, which may have to wait for imports."""
_READ_BYTES = 1 << 16
_GARBAGE = "it answered what no worker answers"
T = TypeVar("T", bound=BaseModel)


class WorkerLost(Exception):
    """The connection broke: the process ended, or is as good as ended."""

    words: str = "broke off its answer"
    """What it did, to stand behind `the image worker`, should the process live on."""


class Garbage(WorkerLost):
    """It answered, but not as a worker does."""

    words = "answered what no worker answers"


class Late(WorkerLost):
    """It did not answer in the time that there was for it."""

    words = "did not answer in time"


class Unreached(WorkerLost):
    """It never had the job, so nothing that it did was the job's doing."""

    words = "could not be reached"


class Refused(Unreached):
    """It takes no job: it is being ended, or does what nobody here asked for."""

    words = "would not take a job"


class Engineless(Unreached):
    """It has no engine, and says why."""

    def __init__(self, why: str) -> None:
        self.words = f"could not import its engine ({why.rstrip('.')})"
        super().__init__(f"it {self.words}")


class WorkerBroken(Unreached):
    """There is no process, and for a while there will be none: it has failed too often."""


class WorkerClient:
    """Calls one worker. A new process gets a new client.

    There is nothing to close: each call has a connection of its own. A lease may outlive its
    process, and whoever calls one that is gone hears so from the connection.
    """

    # Of a connection that stood before, it could not be told whether a process that is gone has
    # read the call. Loading and sampling take as long as they take, so answers about a job have no
    # time limit: a process that is gone closes the connection, and one that hangs over a job is
    # ended (`deadlines.py`). Of what is asked beside jobs nobody else notices that it hangs.

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._prefix = transport.prefix(url)
        self._headers = {"Authorization": f"Bearer {token}"}

    def health(self, timeout_s: float) -> Health:
        """The worker's health, which it answers from memory.

        Raises:
            WorkerLost: it does not answer in time, or not as a worker does.
        """
        answer = self._call("GET", "/internal/health", timeout_s=timeout_s)
        return _parsed(Health, answer)

    def load(self, model: AnyModelRef) -> Loaded:
        """Have a model loaded, or kept; one whose context was dropped gets it again.

        Raises:
            WorkerLost: the connection broke.
            MystiCanvasError: the worker refused, or there is no room.
        """
        return _parsed(Loaded, self._call("POST", "/v1/load", LoadRequest(model=model)))

    def inspect(self, order: InspectionOrder) -> Inspection:
        """Ask what the file of a language model would take.

        Raises:
            WorkerLost: the connection broke.
            MystiCanvasError: the file or a context is refused.
        """
        return _parsed(Inspection, self._call("POST", "/v1/inspect", order, _INSPECT_S))

    def unload(self) -> None:
        """Have the model given back.

        Raises:
            WorkerLost: the connection broke, or nothing is answered for a minute.
            MystiCanvasError: the worker will not.
        """
        _parsed(Health, self._call("POST", "/v1/unload", timeout_s=_FREE_S))

    def drop_context(self) -> list[MemoryPart]:
        """Have a language model's context given back, without its weights; what is left.

        Raises:
            WorkerLost: the connection broke, or nothing is answered for a minute.
            MystiCanvasError: the worker will not.
        """
        answer = self._call("DELETE", "/v1/context", timeout_s=_FREE_S)
        return _parsed(Health, answer).memory_parts

    def profile(self, order: ProfileOrder) -> TraceAnswer:
        """Ask what a model would need.

        Raises:
            WorkerLost: the connection broke.
            MystiCanvasError: the worker cannot tell.
        """
        return _parsed(TraceAnswer, self._call("POST", "/v1/profile", order))

    def previews(self, enabled: bool) -> None:
        """Say whether anybody wants previews."""
        self._call("PUT", "/v1/previews", PreviewSwitch(enabled=enabled))

    @contextlib.contextmanager
    def generate(self, task: GenerateTask) -> Iterator[GenerateStream]:
        """Run a batch; the stream ends it when it is left early.

        Raises:
            Unreached: the worker had ended before it read of the batch.
            WorkerLost: the connection broke.
            MystiCanvasError: the worker refused.
        """
        answered = False
        try:
            with self._connected() as connection:
                response = self._answer(connection, "POST", "/v1/generate", task)
                answered = True
                if response.status >= 300:
                    raise _error(response.status, response.read())
                yield GenerateStream(connection, response)
        except (OSError, HTTPException) as error:
            # The connection of a process that has read all of it just ends; one in which something
            # is left to read is reset by the system, and so is one that nobody has accepted.
            was_read = answered or isinstance(error, RemoteDisconnected)
            raise (WorkerLost if was_read else Unreached)(_words(error)) from error

    def _call(
        self,
        method: str,
        path: str,
        body: BaseModel | None = None,
        timeout_s: float | None = None,
    ) -> bytes:
        try:
            with self._connected() as connection:
                response = self._answer(connection, method, path, body, timeout_s)
                answer = response.read()
        except TimeoutError as error:
            raise Late(Late.words) from error
        except (OSError, HTTPException) as error:
            raise WorkerLost(_words(error)) from error
        if response.status >= 300:
            raise _error(response.status, answer)
        return answer

    @contextlib.contextmanager
    def _connected(self) -> Iterator[HTTPConnection]:
        connection = transport.http_connection(self._url, _QUICK_S)
        try:
            yield connection
        finally:
            connection.close()

    def _answer(
        self,
        connection: HTTPConnection,
        method: str,
        path: str,
        body: BaseModel | None,
        timeout_s: float | None = None,
    ) -> HTTPResponse:
        """Send a call; what is answered, of which the body is still to be read."""
        headers = {**self._headers, **_request_id()}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = body.model_dump_json().encode()
        connection.request(method, self._prefix + path, content, headers)
        connection.sock.settimeout(timeout_s)
        return connection.getresponse()


class GenerateStream:
    """The messages of one batch as they come."""

    def __init__(self, connection: HTTPConnection, response: HTTPResponse) -> None:
        self._socket = connection.sock
        self._response = response

    def __iter__(self) -> Iterator[Message]:
        for line in self._lines():
            try:
                message = MESSAGE.validate_json(line)
            except ValidationError as error:
                raise Garbage(_GARBAGE) from error
            if isinstance(message, Failed):
                _refuse_without_engine(message.problem)
            yield message

    def hang_up(self) -> None:
        """Break the connection from another thread: the worker takes that as a cancellation, and
        whoever iterates gets `WorkerLost`."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _lines(self) -> Iterator[bytes]:
        # Not the response's own `readline`, for which an answer that breaks off just ends.
        begun = b""
        while data := self._response.read1(_READ_BYTES):
            *whole, begun = (begun + data).split(b"\n")
            yield from filter(None, whole)
        if begun:
            yield begun


def _parsed(kind: type[T], answer: bytes) -> T:
    try:
        return kind.model_validate_json(answer)
    except ValidationError as error:
        raise Garbage(_GARBAGE) from error


def _request_id() -> dict[str, str]:
    request_id = logs.request_id()
    return {REQUEST_ID_HEADER: request_id} if request_id else {}


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _error(status: int, answer: bytes) -> MystiCanvasError:
    try:
        problem = Problem.model_validate_json(answer)
    except ValueError:
        return WorkerCrashed(f"The worker answered {status} without a reason.")
    _refuse_without_engine(problem)
    return problem.to_error()


def _refuse_without_engine(problem: Problem) -> None:
    if problem.code == WorkerCrashed.code and problem.extra.get("engineless"):
        raise Engineless(str(problem.to_error()))
