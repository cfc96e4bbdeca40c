"""HTTP to one worker process."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any, ClassVar

import httpx
from pydantic import ValidationError

from mysticanvas import logs, transport
from mysticanvas.contracts.health import Health
from mysticanvas.contracts.llm import Inspection, InspectionOrder
from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.problem import REQUEST_ID_HEADER, Problem
from mysticanvas.contracts.tracing import ProfileOrder, TraceAnswer
from mysticanvas.contracts.worker import (
    MESSAGE,
    AnyModelRef,
    GenerateTask,
    Loaded,
    LoadRequest,
    Message,
    PreviewSwitch,
)
from mysticanvas.errors import MystiCanvasError, WorkerCrashed

_QUICK_S = 10.0


class WorkerLost(Exception):
    """The connection broke: the process ended, or is as good as ended."""

    words: ClassVar[str] = "broke off its answer"
    """What it did, to stand behind `the image worker`, should the process live on."""


class Garbage(WorkerLost):
    """It answered, but not as a worker does."""

    words = "answered what no worker answers"


class Unreached(WorkerLost):
    """It never had the job, so nothing that it did was the job's doing."""

    words = "could not be reached"


class Refused(Unreached):
    """It takes no job: it is being ended, or does what nobody here asked for."""

    words = "would not take a job"


class WorkerBroken(Unreached):
    """There is no process, and for a while there will be none: it has failed too often."""


class WorkerClient:
    """Calls one worker. A new process gets a new client.

    There is nothing to close: each call has a connection of its own. A lease may outlive its
    process, and whoever calls one that is gone hears so from the connection.
    """

    def __init__(self, url: str, token: str) -> None:
        # Loading and sampling take as long as they take; a process that is gone closes the
        # connection.
        # Of a connection that stands, it could not be told whether a process that is gone has read
        # the call.
        self._http = transport.client(
            url, token, httpx.Timeout(_QUICK_S, read=None), keep_connections=False
        )

    def health(self, timeout_s: float) -> Health:
        """The worker's health, which it answers from memory.

        Raises:
            WorkerLost: it does not answer in time, or not as a worker does.
        """
        answer = self._call("GET", "/internal/health", timeout_s=timeout_s)
        try:
            return Health.model_validate(answer)
        except ValidationError as error:
            raise Garbage("it answered what no worker answers") from error

    def load(self, model: AnyModelRef) -> Loaded:
        """Have a model loaded, or kept; one whose context was dropped gets it again.

        Raises:
            WorkerLost: the connection broke.
            MystiCanvasError: the worker refused, or there is no room.
        """
        body = LoadRequest(model=model).model_dump(mode="json")
        return Loaded.model_validate(self._call("POST", "/v1/load", body))

    def inspect(self, order: InspectionOrder) -> Inspection:
        """Ask what the file of a language model would take.

        Raises:
            WorkerLost: the connection broke.
            MystiCanvasError: the file or a context is refused.
        """
        answer = self._call("POST", "/v1/inspect", order.model_dump(mode="json"))
        return Inspection.model_validate(answer)

    def unload(self) -> None:
        """Have the model given back."""
        self._call("POST", "/v1/unload")

    def drop_context(self) -> list[MemoryPart]:
        """Have a language model's context given back, without its weights; what is left."""
        return Health.model_validate(self._call("DELETE", "/v1/context")).memory_parts

    def profile(self, order: ProfileOrder) -> TraceAnswer:
        """Ask what a model would need.

        Raises:
            WorkerLost: the connection broke.
            MystiCanvasError: the worker cannot tell.
        """
        answer = self._call("POST", "/v1/profile", order.model_dump(mode="json"))
        return TraceAnswer.model_validate(answer)

    def previews(self, enabled: bool) -> None:
        """Say whether anybody wants previews."""
        self._call("PUT", "/v1/previews", PreviewSwitch(enabled=enabled).model_dump())

    @contextlib.contextmanager
    def generate(self, task: GenerateTask) -> Iterator[GenerateStream]:
        """Run a batch; the stream ends it when it is left early.

        Raises:
            Unreached: the worker had ended before it read of the batch.
            WorkerLost: the connection broke.
            MystiCanvasError: the worker refused.
        """
        body = task.model_dump(mode="json")
        answered = False
        try:
            with self._http.stream(
                "POST", "/v1/generate", json=body, headers=_request_id()
            ) as response:
                answered = True
                if response.is_error:
                    response.read()
                    raise _error(response)
                yield GenerateStream(response)
        except httpx.TransportError as error:
            # The connection of a process that has read all of it just ends; one in which something
            # is left to read is reset by the system, and so is one that nobody has accepted.
            was_read = answered or isinstance(error, httpx.RemoteProtocolError)
            raise (WorkerLost if was_read else Unreached)(str(error)) from error

    def _call(
        self, method: str, path: str, body: Any = None, timeout_s: float | None = None
    ) -> Any:
        timeout = httpx.Timeout(_QUICK_S, read=timeout_s)
        try:
            response = self._http.request(
                method, path, json=body, headers=_request_id(), timeout=timeout
            )
        except httpx.TransportError as error:
            raise WorkerLost(str(error)) from error
        if response.is_error:
            raise _error(response)
        try:
            return response.json()
        except ValueError as error:
            raise Garbage("it answered what no worker answers") from error


class GenerateStream:
    """The messages of one batch as they come."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[Message]:
        for line in self._response.iter_lines():
            if line:
                try:
                    message = MESSAGE.validate_json(line)
                except ValidationError as error:
                    raise Garbage("it answered what no worker answers") from error
                yield message

    def hang_up(self) -> None:
        """Break the connection from another thread: the worker takes that as a cancellation, and
        whoever iterates gets `WorkerLost`."""
        stream = self._response.extensions["network_stream"]
        with contextlib.suppress(OSError):
            stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def _request_id() -> dict[str, str]:
    request_id = logs.request_id()
    return {REQUEST_ID_HEADER: request_id} if request_id else {}


def _error(response: httpx.Response) -> MystiCanvasError:
    try:
        return Problem.model_validate_json(response.content).to_error()
    except ValueError:
        return WorkerCrashed(f"The worker answered {response.status_code} without a reason.")
