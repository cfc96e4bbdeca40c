"""What a connection may take of a server before it is let in, on real sockets."""

from __future__ import annotations

import contextlib
import http.client
import logging
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI, WebSocket
from structlog.testing import capture_logs

from mysticanvas import transport, web
from mysticanvas.web.connections import most_connections
from mysticanvas.web.seldom import Seldom

LONG_S = 60.0
KEPT = 20
"""Connections of a server that has no time for strangers."""


class Place:
    """A server, and connections to it."""

    def __init__(self, url: str) -> None:
        self.host = url.removeprefix("http://")
        self.stack = contextlib.ExitStack()

    def connect(self) -> socket.socket:
        name, _, port = self.host.partition(":")
        return self.stack.enter_context(socket.create_connection((name, int(port)), LONG_S))

    def head(self, token: str = "token", path: str = "/", more: str = "") -> bytes:
        given = f"Host: {self.host}\r\nAuthorization: Bearer {token}\r\n{more}\r\n"
        return f"GET {path} HTTP/1.1\r\n{given}".encode()

    def ask(self, connection: socket.socket, token: str = "token", **more: str) -> int:
        connection.sendall(self.head(token, **more))
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        answer.read()
        return answer.status


Serve = Callable[[web.Limits], Place]


@pytest.fixture
def held() -> threading.Event:
    """Set once what waits for it may answer."""
    return threading.Event()


@pytest.fixture
def serve(tmp_path: Path, held: threading.Event) -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:

        def serve(limits: web.Limits) -> Place:
            listener = transport.listen("tcp", tmp_path / "a.sock")
            server = web.Server(app(listener.url, held), limits)
            sockets = {"sockets": [listener.socket]}
            thread = threading.Thread(target=server.run, kwargs=sockets, daemon=True)
            thread.start()
            stack.callback(thread.join, 10)
            stack.callback(server.stop)
            stack.callback(held.set)
            place = Place(listener.url)
            stack.enter_context(place.stack)
            return place

        yield serve


def app(url: str, held: threading.Event) -> FastAPI:
    made = web.create_app("test", "token", url)

    @made.get("/")
    async def there() -> None:
        """Answers at once."""

    @made.get("/slow")
    def slow() -> None:
        held.wait(LONG_S)

    @made.websocket("/stream")
    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        await socket.receive_text()

    return made


def ended(connection: socket.socket) -> bool:
    """Waits for the end of a connection."""
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(1 << 16):
            pass
    return True


@pytest.mark.parametrize("line", [b"x: %d\r\n", b"%d"], ids=["headers", "one header"])
def test_a_head_has_an_end(serve: Serve, line: bytes) -> None:
    place = serve(web.Limits(strange_s=LONG_S))
    connection = place.connect()
    connection.sendall(place.head()[:-2] + b"x: ")
    with contextlib.suppress(ConnectionError):
        for number in range(1 << 10):
            connection.sendall(line % number * 100)
    assert ended(connection)
    assert place.ask(place.connect(), more=f"x: {'x' * (60 << 10)}\r\n") == 200


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"\r\n" * 9, b"GET / HTTP/1.1\r\n\r\n"])
def test_who_is_not_let_in_goes(serve: Serve, sent: bytes) -> None:
    place = serve(web.Limits(strange_s=0.1))
    connection = place.connect()
    connection.sendall(sent)
    assert ended(connection)


def test_who_was_let_in_has_as_long_again_but_not_with_half_a_request(serve: Serve) -> None:
    place = serve(web.Limits(strange_s=0.1))
    connection = place.connect()
    assert place.ask(connection) == 200
    connection.sendall(b"\r\n")
    assert ended(connection)


def test_what_is_carried_out_is_not_disturbed(serve: Serve, held: threading.Event) -> None:
    place = serve(web.Limits(strange_s=0.1, connections=2))
    slow = place.connect()
    slow.sendall(place.head(path="/slow"))
    with transport.websocket(f"http://{place.host}", "/stream", "token") as stream:
        for _ in range(3):
            stranger = place.connect()
            assert ended(stranger)
        held.set()
        answer = http.client.HTTPResponse(slow)
        answer.begin()
        assert answer.status == 200
        stream.send("and on")


def test_who_is_there_longest_without_a_token_makes_room(serve: Serve) -> None:
    place = serve(web.Limits(connections=KEPT, strange_s=LONG_S))
    first = place.connect()
    others = [place.connect() for _ in range(KEPT - 1)]
    assert place.ask(others[0]) == 200
    assert place.ask(place.connect(), "wrong") == 403
    assert ended(first)
    assert place.ask(others[0]) == 200
    for _ in range(3 * KEPT):
        assert place.ask(place.connect()) == 200


def test_twenty_kernels_fit() -> None:
    assert most_connections(1024) >= 20 * 20
    assert most_connections(256) == 128
    assert most_connections(resource.RLIM_INFINITY) == most_connections(1 << 20)


def test_what_anybody_may_cause_is_logged_once_a_second_with_its_count() -> None:
    now = 0.0
    seldom = Seldom(clock=lambda: now)
    assert [seldom.pass_on() for _ in range(4)] == [0, None, None, None]
    now = 1.0
    assert [seldom.pass_on() for _ in range(2)] == [3, None]
    now = 9.0
    assert seldom.pass_on() == 1


def test_refusals_without_a_token_do_not_fill_the_log(
    serve: Serve, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Seldom, "pass_on", iter([0, *[None] * 8, 8, *[None] * 20]).__next__)
    place = serve(web.Limits(strange_s=LONG_S))
    with capture_logs() as said:
        assert {place.ask(place.connect(), "wrong") for _ in range(10)} == {403}
    refused = [line.get("held_back") for line in said if line["event"] == "request_refused"]
    assert refused == [None, 8]
    with caplog.at_level(logging.WARNING, "uvicorn.error"):
        for _ in range(3):
            connection = place.connect()
            connection.sendall(b"no HTTP\r\n\r\n")
            assert ended(connection)
    assert caplog.records == []
