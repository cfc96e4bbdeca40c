"""The token goes to the process that wrote the runtime file, and to nobody else."""

import os
import socket
import sys
import threading
from collections.abc import Iterator

import psutil
import pytest

from mysticanvas.client.endpoint import Endpoint
from mysticanvas.client.http import ConnectionLost, HttpClient
from mysticanvas.processes import Holding, Identity


class Stranger:
    """Listens where an orchestrator did, and keeps what it is sent."""

    def __init__(self) -> None:
        self.heard = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        connection, _ = self.listener.accept()
        with connection:
            while heard := connection.recv(4096):
                self.heard += heard

    def end(self) -> bytes:
        self._thread.join(20)
        assert not self._thread.is_alive()
        self.listener.close()
        return self.heard


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    stranger = Stranger()
    yield stranger
    stranger.listener.close()


def former(stranger: Stranger) -> Endpoint:
    """This process, which lives, and had a socket there once."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        held = Holding.of(closed.fileno())
    return Endpoint(stranger.url, "secret", Identity.of(os.getpid()), held)


@pytest.mark.fault("a stranger on a live orchestrator's port", "HTTP sends nothing")
def test_http_sends_nothing_to_a_stranger_on_the_recorded_port(stranger: Stranger) -> None:
    there = former(stranger)
    client = HttpClient(there.url, there.token, there.alive)
    with pytest.raises(ConnectionLost, match="somebody else"):
        client.request("GET", "/internal/health")
    client.close()
    assert stranger.end() == b""


@pytest.mark.fault("a stranger on a live orchestrator's port, for events", "nothing is sent")
def test_nor_does_the_event_stream(stranger: Stranger) -> None:
    with pytest.raises(ConnectionRefusedError, match="no longer"):
        former(stranger).connect(5)
    assert stranger.end() == b""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no socket tells whose it is")
def test_a_port_of_which_no_socket_is_named_is_nobodys(stranger: Stranger) -> None:
    there = Endpoint(stranger.url, "secret", Identity.of(os.getpid()))
    assert not there.alive()
    assert there._replace(url="http+unix://%2Fa.sock").alive()


def test_the_process_that_holds_its_socket_is_trusted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        there = Endpoint(url, "secret", Identity.of(os.getpid()), Holding.of(held.fileno()))
        assert there.alive()
        connection = there.connect(5)
        assert connection is not None
        connection.close()
        assert not there._replace(identity=there.identity._replace(boot_id="another")).alive()
    assert not there.alive()
    assert there.wait_gone(5)


@pytest.mark.fault("the clock is set between two calls", "the process counts as the same")
def test_a_clock_that_is_set_makes_nobody_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    me = Identity.of(os.getpid())
    booted = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: booted - 86_400)
    assert me.alive()
    assert Identity.of(os.getpid()) == me
