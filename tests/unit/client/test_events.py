import json
import os
import queue
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from mysticanvas.client import events
from mysticanvas.client.endpoint import Endpoint
from mysticanvas.client.events import EventStream
from mysticanvas.contracts.events import Event
from mysticanvas.processes import Holding, Identity

PATIENCE_S = 20


class Orchestrator:
    """The other end of the stream: hands every connection to the test."""

    def __init__(self) -> None:
        self.connections: queue.Queue[ServerConnection] = queue.Queue()
        self._leave = threading.Event()
        self._server: Server = serve(self._handle, "127.0.0.1", 0, process_request=self._check)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.headers.get("Authorization") == "Bearer t":
            return None
        return connection.respond(HTTPStatus.FORBIDDEN, "")

    def _handle(self, connection: ServerConnection) -> None:
        self.connections.put(connection)
        self._leave.wait()

    def accept(self) -> tuple[ServerConnection, dict[str, list[str]]]:
        """The next connection and its query."""
        connection = self.connections.get(timeout=PATIENCE_S)
        assert connection.request is not None
        return connection, parse_qs(urlsplit(connection.request.path).query)

    def close(self) -> None:
        self._leave.set()
        self._server.shutdown()
        self._thread.join(PATIENCE_S)


@pytest.fixture
def orchestrator() -> Iterator[Orchestrator]:
    orchestrator = Orchestrator()
    yield orchestrator
    orchestrator.close()


class Listener:
    """A stream whose events and ticks a test can wait for."""

    def __init__(self, find: Callable[[], Endpoint | None]) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        self.ticks: queue.Queue[None] = queue.Queue()
        self.calls: queue.Queue[str] = queue.Queue()
        self.on_event: Callable[[], None] = lambda: None
        self.stream = EventStream(
            "a notebook, process 7",
            find=find,
            on_event=self._on_event,
            on_tick=self._on_tick,
        )
        self.stream.start()

    def _on_tick(self) -> None:
        self.ticks.put(None)
        self.calls.put("tick")

    def _on_event(self, event: Event) -> None:
        self.events.put(event)
        self.calls.put(event.type)
        self.on_event()
        if event.type == "alert":
            raise RuntimeError("a listener that fails")

    def next(self) -> Event:
        return self.events.get(timeout=PATIENCE_S)


@pytest.fixture
def listen(orchestrator: Orchestrator) -> Iterator[Callable[..., Listener]]:
    listeners: list[Listener] = []

    def start(find: Callable[[], Endpoint | None] | None = None) -> Listener:
        listeners.append(Listener(find or (lambda: Endpoint(orchestrator.url, "t"))))
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.stream.close()
        listener.stream._thread.join(PATIENCE_S)


def send(connection: ServerConnection, kind: str, seq: int | None = None, **data: Any) -> None:
    event = {"epoch": "e1", "type": kind, "seq": seq, "data": data}
    connection.send(json.dumps(event))


def test_events_arrive_in_order_and_hello_says_that_they_do(
    orchestrator: Orchestrator, listen: Callable[..., Listener]
) -> None:
    listener = listen()
    connection, query = orchestrator.accept()
    assert query == {"client": ["a notebook, process 7"]}
    assert not listener.stream.connected
    send(connection, "hello", seq=None)
    for seq in (1, 2, 3):
        send(connection, "job", seq, n=seq)
    assert listener.next().type == "hello"
    assert listener.stream.wait_connected(PATIENCE_S)
    assert [listener.next().data["n"] for _ in range(3)] == [1, 2, 3]


def test_a_lost_stream_goes_on_where_it_was(
    orchestrator: Orchestrator, listen: Callable[..., Listener]
) -> None:
    listener = listen()
    connection, _ = orchestrator.accept()
    connection.send(json.dumps({"epoch": "e1", "type": "hello", "data": {"seq": 5}}))
    send(connection, "job", 6)
    send(connection, "progress")
    assert [listener.next().type for _ in range(3)] == ["hello", "job", "progress"]
    connection.close()
    again, query = orchestrator.accept()
    assert (query["epoch"], query["after"]) == (["e1"], ["6"])
    again.send(json.dumps({"epoch": "e2", "type": "resync", "data": {"seq": 2}}))
    assert listener.next().type == "resync"
    again.close()
    _, query = orchestrator.accept()
    assert (query["epoch"], query["after"]) == (["e2"], ["2"])


def test_a_listener_that_fails_and_an_event_that_is_none_do_not_end_it(
    orchestrator: Orchestrator, listen: Callable[..., Listener]
) -> None:
    listener = listen()
    connection, _ = orchestrator.accept()
    send(connection, "alert", 1)
    send(connection, "job", 2)
    assert [listener.next().type for _ in range(2)] == ["alert", "job"]
    connection.send("this is no event")
    again, _ = orchestrator.accept()
    send(again, "job", 3)
    assert listener.next().seq == 3


def test_without_an_orchestrator_it_ticks_until_there_is_one(
    orchestrator: Orchestrator, listen: Callable[..., Listener]
) -> None:
    there: list[Endpoint] = []
    listener = listen(lambda: there[0] if there else None)
    for _ in range(3):
        listener.ticks.get(timeout=PATIENCE_S)
    there.append(Endpoint(orchestrator.url, "t"))
    listener.stream.resume()
    connection, _ = orchestrator.accept()
    send(connection, "hello")
    assert listener.next().type == "hello"


def test_it_ticks_by_the_clock_however_many_events_arrive(
    orchestrator: Orchestrator,
    listen: Callable[..., Listener],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(events, "time", SimpleNamespace(monotonic=lambda: now[0]))
    listener = listen()
    listener.on_event = lambda: now.append(now.pop() + 0.6 * events.TICK_S)
    connection, _ = orchestrator.accept()
    for _ in range(5):
        send(connection, "progress")
    calls = [listener.calls.get(timeout=PATIENCE_S) for _ in range(7)]
    assert calls == [*("progress", "progress", "tick") * 2, "progress"]


def test_a_refused_token_is_tried_again_later(
    orchestrator: Orchestrator, listen: Callable[..., Listener]
) -> None:
    token = ["wrong"]
    listener = listen(lambda: Endpoint(orchestrator.url, token[0]))
    listener.ticks.get(timeout=PATIENCE_S)
    assert not listener.stream.connected
    token[0] = "t"
    orchestrator.accept()


def test_previews_are_asked_for_while_somebody_watches(
    orchestrator: Orchestrator, listen: Callable[..., Listener]
) -> None:
    listener = listen()
    connection, _ = orchestrator.accept()
    send(connection, "hello")
    listener.next()
    with listener.stream.previews():
        assert json.loads(connection.recv(PATIENCE_S)) == {"previews": True}
        with listener.stream.previews():
            pass
        connection.close()
        again, _ = orchestrator.accept()
        assert json.loads(again.recv(PATIENCE_S)) == {"previews": True}
        send(again, "hello")
        listener.next()
    assert json.loads(again.recv(PATIENCE_S)) == {"previews": False}


def test_a_paused_stream_hangs_up_and_stays_away_until_resumed(
    orchestrator: Orchestrator, listen: Callable[..., Listener]
) -> None:
    listener = listen()
    connection, _ = orchestrator.accept()
    send(connection, "hello")
    listener.next()
    listener.stream.pause()
    with pytest.raises(ConnectionClosed):
        connection.recv(PATIENCE_S)
    with pytest.raises(queue.Empty):
        orchestrator.connections.get(timeout=0.3)
    listener.stream.resume()
    orchestrator.accept()


def test_a_closed_stream_ends_its_thread(
    orchestrator: Orchestrator, listen: Callable[..., Listener]
) -> None:
    listener = listen()
    connection, _ = orchestrator.accept()
    send(connection, "hello")
    listener.next()
    listener.stream.close()
    listener.stream._thread.join(PATIENCE_S)
    assert not listener.stream._thread.is_alive()
    assert not listener.stream.connected


def test_the_token_is_not_for_a_process_that_is_gone() -> None:
    me = Identity.of(os.getpid())
    assert Endpoint("http://x", "t", me, Holding.of(0)).alive()
    assert not Endpoint("http://x", "t", me._replace(started_at=1.0), Holding.of(0)).alive()
