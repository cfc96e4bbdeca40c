"""The event stream over a real socket, without the rest of an orchestrator."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mysticanvas import transport, web
from mysticanvas.orchestrator.api import events
from mysticanvas.orchestrator.events import Bus

TOKEN = "a-token-of-the-test"
WAIT_S = 30.0
LARGE = "x" * (1 << 20)


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def url(tmp_path: Path, bus: Bus) -> Iterator[str]:
    """Where the events of the bus are told; whoever takes none for a moment is given up."""
    listener = transport.listen("tcp", tmp_path)
    app = web.create_app("events", TOKEN, listener.url)
    app.include_router(events.routes(bus, patience_s=0.2))
    server = web.Server(app)
    thread = threading.Thread(target=server.run, args=([listener.socket],))
    thread.start()
    yield listener.url
    server.stop()
    bus.close()
    thread.join()
    listener.close()


def wait_listening(bus: Bus, clients: list[str]) -> None:
    deadline = time.monotonic() + WAIT_S
    while bus.clients != clients:
        assert time.monotonic() < deadline, bus.clients
        time.sleep(0.01)


def test_one_who_takes_nothing_is_given_up_and_the_others_hear_on(url: str, bus: Bus) -> None:
    with (
        transport.websocket(url, "/v1/events?client=silent", TOKEN, max_queue=1) as silent,
        transport.websocket(url, "/v1/events?client=reader", TOKEN, max_size=None) as reader,
    ):
        wait_listening(bus, ["reader", "silent"])
        sent = 0
        heard = [json.loads(reader.recv(WAIT_S))["type"]]
        deadline = time.monotonic() + WAIT_S
        # How much the system takes in for it before anything waits is the system's choice.
        while "silent" in bus.clients:
            assert time.monotonic() < deadline
            bus.publish("queue", {"text": LARGE})
            sent += 1
            heard.append(json.loads(reader.recv(WAIT_S))["seq"])
        bus.publish("queue", {})
        heard.append(json.loads(reader.recv(WAIT_S))["seq"])
        assert heard == ["hello", *range(1, sent + 2)]
        assert bus.clients == ["reader"]
        silent.socket.close()


def test_one_who_takes_a_pause_between_events_is_kept(url: str, bus: Bus) -> None:
    with transport.websocket(url, "/v1/events?client=idle", TOKEN) as idle:
        assert json.loads(idle.recv(WAIT_S))["type"] == "hello"
        with pytest.raises(TimeoutError):
            idle.recv(timeout=0.5)
        bus.publish("queue", {})
        assert json.loads(idle.recv(WAIT_S))["seq"] == 1
