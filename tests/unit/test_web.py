"""What is decided of a request, without a server."""

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import structlog
import uvicorn
from fastapi import FastAPI, Request, WebSocket
from fastapi.testclient import TestClient
from hypothesis import given, strategies as st
from pydantic import ValidationError
from starlette.testclient import WebSocketDenialResponse

from mysticanvas import settings, web
from mysticanvas.contracts.jobs import GenerateRequest
from mysticanvas.contracts.params import ALLOWED
from mysticanvas.contracts.problem import MEDIA_TYPE, Problem
from mysticanvas.errors import InvalidRequest
from mysticanvas.web import body, problems
from mysticanvas.web.gate import Gate, has_body, repeated

GATE = Gate("tökén", frozenset({b"127.0.0.1:1", b"localhost:1"}))
GOOD = {b"host": b"127.0.0.1:1", b"authorization": "Bearer tökén".encode()}
JSON = {b"content-type": b"application/json", b"content-length": b"2"}
Value = Any


def status(**headers: bytes | None) -> int | None:
    """The status of a request with these headers in place of good ones."""
    given = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    found = {name: value for name, value in {**GOOD, **given}.items() if value is not None}
    refusal = GATE.refusal(found)
    return None if refusal is None else refusal.status


def test_who_has_the_token_and_the_address_is_let_in() -> None:
    assert status() is None
    assert status(host=b"localhost:1") is None
    assert status(authorization="bearer tökén".encode()) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"host": None},
        {"host": b"127.0.0.1"},
        {"host": b"127.0.0.1:1."},
        {"host": b"evil.example"},
        {"origin": b""},
        {"authorization": None},
        {"authorization": "tökén".encode()},
        {"authorization": "Bearer tökén".encode("latin-1")},
        {"authorization": "Bearer  tökén".encode()},
    ],
)
def test_anybody_else_is_not(headers: dict[str, bytes | None]) -> None:
    assert status(**headers) == 403


@pytest.mark.parametrize("name", [b"host", b"authorization", b"content-type", b"content-length"])
def test_a_header_that_decides_is_there_once(name: bytes) -> None:
    headers = [*GOOD.items(), (b"accept", b"a"), (b"accept", b"b"), *JSON.items()]
    assert repeated(headers) is None
    refusal = repeated([(name, b"evil"), *headers])
    assert refusal is not None
    assert refusal.status == 400
    assert name.decode() in str(refusal.error)


def test_what_nobody_foresaw_is_told_with_the_id_of_its_request() -> None:
    app = web.create_app("test", "token", "http://127.0.0.1:1")

    @app.get("/")
    def fail() -> None:
        raise ZeroDivisionError("of a test")

    headers = {"Authorization": "Bearer token", "X-Request-ID": "0123456789abcdef"}
    merged = [structlog.contextvars.merge_contextvars]
    with (
        TestClient(app, base_url="http://127.0.0.1:1", headers=headers) as client,
        structlog.testing.capture_logs(merged) as said,
    ):
        response = client.get("/")
    assert response.status_code == 500
    problem = Problem.model_validate_json(response.content)
    assert problem.request_id == response.headers["x-request-id"] == headers["X-Request-ID"]
    assert {line["request_id"] for line in said} == {problem.request_id}
    assert [line["event"] for line in said] == ["unexpected_error", "request_refused"]


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/stream?after=soon", 422, "after: Input should be a valid integer"),
        ("/nothing", 404, "GET /nothing: Not Found."),
    ],
)
def test_a_websocket_is_refused_as_any_request_is(path: str, status: int, detail: str) -> None:
    app = web.create_app("test", "token", "http://127.0.0.1:1")

    @app.websocket("/stream")
    async def stream(socket: WebSocket, after: int) -> None:
        raise AssertionError("it was let in")

    headers = {"Authorization": "Bearer token", "X-Request-ID": "0123456789abcdef"}
    with (
        TestClient(app, base_url="http://127.0.0.1:1") as client,
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect(path, headers={**headers, "Host": "127.0.0.1:1"}),
    ):
        pass
    answer = refused.value
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE)
    problem = Problem.model_validate_json(answer.content)
    assert problem.request_id == answer.headers["x-request-id"] == headers["X-Request-ID"]
    assert problem.detail.startswith(detail)


def test_a_body_is_asked_what_it_is() -> None:
    assert status(content_length=b"0") is None
    assert status(content_length=b"2") == 415
    assert status(transfer_encoding=b"chunked") == 415
    assert status(content_length=b"2", content_type=b"Application/JSON; charset=utf-8") is None
    assert status(content_length=b"2", content_type=b"application/jsonx") == 415
    limit = settings.MAX_BODY_BYTES
    assert status(content_type=b"application/json", content_length=b"%d" % limit) is None
    assert status(content_type=b"application/json", content_length=b"%d" % (limit + 1)) == 413
    assert not has_body({})


def nested(value: Value) -> int:
    children = value.values() if isinstance(value, dict) else value
    return 1 + max(map(nested, children), default=0) if isinstance(value, dict | list) else 0


@given(
    st.recursive(
        st.none() | st.text('[]{}"\\x') | st.integers(),
        lambda children: st.lists(children) | st.dictionaries(st.text('[]{}"\\x'), children),
    )
)
def test_depth_is_that_of_the_parsed_text(value: Value) -> None:
    assert body.depth(json.dumps(value).encode()) == nested(value)


@pytest.mark.parametrize(
    "hostile",
    [
        b"[" * (1 << 20),
        b"[]" * (1 << 19),
        b'"' + b'\\"' * (1 << 19),
        b'"' * (1 << 20),
        b"\\" * (1 << 20),
        b'["' * (1 << 19),
    ],
    ids=["open", "open and closed", "one string", "quotes", "backslashes", "strings"],
)
def test_no_text_takes_long_to_look_at(hostile: bytes) -> None:
    began = time.process_time()
    body.depth(hostile)
    assert time.process_time() - began < 2


def test_a_client_that_leaves_in_the_middle_is_told_to_the_application() -> None:
    sent = iter(
        [
            {"type": "http.request", "body": b"{", "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> Any:
        return next(sent)

    async def read() -> Any:
        return await (await body.read(receive))()

    assert asyncio.run(read()) == {"type": "http.disconnect"}


@pytest.mark.parametrize(
    "text",
    [rb'"\ud83c\udfa8"', rb'"\\ud800"', rb'"\u0000"', '\ufeff"ö🎨"'.encode(), b"", b'"', b"{x"],
)
def test_text_in_utf_8_is_for_the_application_and_so_is_what_is_no_json(text: bytes) -> None:
    assert body.objection(text) is None


@pytest.mark.parametrize("text", [rb'"\ud800"', rb'{"\uDFFF": 1}', rb'["\ud800\ud800"]'])
def test_half_a_character_is_none(text: bytes) -> None:
    error = body.objection(text)
    assert error is not None
    assert error.allowed == "Unicode text"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
@pytest.mark.parametrize("text", ['"\\ud800"', "[" * 100 + "]" * 100, "{}", "1"])
def test_other_encodings_are_refused_though_python_would_read_them(
    text: str, encoding: str
) -> None:
    error = body.objection(text.encode(encoding))
    assert error is not None
    assert error.allowed == "JSON in UTF-8"


@pytest.mark.parametrize(
    "text", [b'"\xed\xa0\x80"', b'{"\xed\xbf\xbf": 1}', b'"\xff"', b'"\xc0\x80"']
)
def test_so_is_half_a_character_that_is_written_out(text: bytes) -> None:
    error = body.objection(text)
    assert error is not None
    assert error.allowed == "JSON in UTF-8"


def refused(where: str, **params: object) -> InvalidRequest:
    """What a body with these arguments of `generate` is answered with, on a route that takes it
    alone or as one of several kinds."""
    with pytest.raises(ValidationError) as caught:
        GenerateRequest.model_validate({"params": {"prompt": "x", **params}})
    first = caught.value.errors()[0]
    loc = ("body", *filter(None, [where]), *first["loc"])
    return problems.refusal({**first, "loc": loc})


@pytest.mark.parametrize("where", ["", "generate"])
def test_an_argument_of_generate_is_refused_in_the_words_of_the_kernel(where: str) -> None:
    prefix = f"{where}.params" if where else "params"
    error = refused(where, steps=3)
    assert str(error) == "There is no parameter 'steps'. Did you mean 'num_inference_steps'?"
    assert error.parameter == f"{prefix}.steps"
    error = refused(where, scheduler="eulr")
    assert error.allowed == ALLOWED["scheduler"]
    assert str(error) == (
        f"{prefix}.scheduler='eulr' is not allowed; allowed is {error.allowed}. "
        "Did you mean 'euler'?"
    )
    assert refused(where, width=100).allowed == ALLOWED["width"]


def test_anything_else_is_refused_in_the_words_of_its_type() -> None:
    error = problems.refusal({"type": "missing", "loc": ("body", "name"), "msg": "Field required"})
    assert (str(error), error.parameter) == ("name: Field required.", "name")
    said = {"type": "value_error", "loc": ("body", "name"), "msg": "Value error, No.", "input": 1}
    assert str(problems.refusal({**said, "ctx": {"error": ValueError("No.")}})) == "name: No."
    missing = {"type": "missing", "loc": ("body", "generate", "params", "prompt"), "input": {}}
    assert str(problems.refusal({**missing, "msg": "Field required"})) == (
        "generate.params.prompt: Field required."
    )


def test_a_route_can_see_that_its_client_has_hung_up() -> None:
    async def seen() -> tuple[bool, bool]:
        gone = asyncio.Event()

        async def receive() -> dict[str, str]:
            await gone.wait()
            return {"type": "http.disconnect"}

        there = web.hung_up(Request({"type": "http"}, receive))
        hung_up = await anext(there)
        await asyncio.sleep(0)
        before = hung_up()
        gone.set()
        while not hung_up():
            await asyncio.sleep(0)
        await there.aclose()
        return before, hung_up()

    assert asyncio.run(seen()) == (False, True)


def _from_a_thread(server: web.Server) -> None:
    threading.Thread(target=server.stop).start()


def _from_a_signal_handler(server: web.Server) -> None:
    signal.signal(signal.SIGUSR1, lambda *_: server.stop())
    os.kill(os.getpid(), signal.SIGUSR1)


@pytest.mark.parametrize("stop", [_from_a_thread, _from_a_signal_handler])
def test_a_server_sleeps_until_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch, stop: Callable[[web.Server], None]
) -> None:
    monkeypatch.setattr(web.server, "TICK_S", 3600.0)
    handled = signal.getsignal(signal.SIGUSR1)

    async def served() -> None:
        server = web.Server(FastAPI())
        serving = asyncio.create_task(server.main_loop())
        while not server.server_state.default_headers:
            await asyncio.sleep(0)
        # By now it waits, for an hour.
        stop(server)
        await asyncio.wait_for(serving, 30)

    try:
        asyncio.run(served())
    finally:
        signal.signal(signal.SIGUSR1, handled)


def test_a_server_keeps_the_date_of_its_answers_true(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bytes] = []

    class Ticking(web.Server):
        async def on_tick(self, counter: int) -> bool:
            await super().on_tick(counter)
            told.append(dict(self.server_state.default_headers).get(b"date", b""))
            return len(told) == 3

    days = (f"day {k}" for k in range(3))
    monkeypatch.setattr(web.server, "TICK_S", 0.0)
    monkeypatch.setattr(uvicorn.server, "formatdate", lambda *_, **__: next(days))
    asyncio.run(Ticking(FastAPI()).main_loop())
    assert told == [b"day 0", b"day 1", b"day 2"]


def test_to_stop_a_server_that_has_ended_is_harmless() -> None:
    server = web.Server(FastAPI())

    async def ended() -> None:
        server.stop()
        await server.main_loop()

    asyncio.run(ended())
    server.stop()
