"""A client that never reads its event stream, beside others that do."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from http_client import client
from support import processes_of
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from mysticanvas import Canvas, transport
from mysticanvas.contracts.runtime import Runtime
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.events import RING, RING_BYTES

WAIT_S = 120
PICTURES = 20
"""As many as a call can change and have told one by one."""
PROMPT = "a red circle above a blue square, " * 120

Listen = Callable[..., ClientConnection]


class Reader:
    """Reads a stream to its end, on a thread of its own."""

    def __init__(self, stream: ClientConnection) -> None:
        self.seqs: list[int] = []
        self.size = 0
        """Bytes of what was read."""
        self.kinds: set[str] = set()
        self.epoch = ""
        self._stream = stream
        self._wanted = 0
        self._heard = threading.Condition()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for text in self._stream:
            event = json.loads(text)
            with self._heard:
                self.kinds.add(event["type"])
                self.size += sys.getsizeof(text)
                self.epoch = event["epoch"]
                if event["seq"] is not None:
                    self.seqs.append(event["seq"])
                if len(self.seqs) >= self._wanted:
                    self._heard.notify_all()

    def wait(self, events: int) -> None:
        """Until so many events were read."""
        with self._heard:
            self._wanted = events
            assert self._heard.wait_for(lambda: len(self.seqs) >= events, WAIT_S)

    def close(self) -> None:
        self._stream.close()
        self._thread.join()


@pytest.fixture
def images(home: Path, tiny_sd: Path) -> list[str]:
    """Pictures in a home whose orchestrator runs, and which nobody listens to."""
    with Canvas(home=home) as canvas:
        small = {"preset": tiny_sd, "num_inference_steps": 1, "seed": 1}
        return [image.id for image in canvas.generate(PROMPT, num_images=PICTURES, **small)]


@pytest.fixture
def runtime(home: Path, images: list[str]) -> Runtime:
    assert images
    return Runtime.model_validate_json(HomePaths.of(home).runtime_file.read_bytes())


@pytest.fixture
def listen(runtime: Runtime) -> Iterator[Listen]:
    """Opens an event stream; what it is given are options of the socket."""
    with contextlib.ExitStack() as opened:

        def listen(query: str, **options: Any) -> ClientConnection:
            quiet = {"ping_interval": None, "close_timeout": 1, **options}
            path = f"/v1/events?{query}"
            stream = transport.websocket(runtime.url, path, runtime.token, **quiet)
            return opened.enter_context(stream)

        yield listen


def deaf(runtime: Runtime) -> dict[str, Any]:
    """Options of a stream that takes in next to nothing until somebody reads it."""
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    url = httpx.URL(runtime.url)
    peer.connect((url.host, url.port))
    return {"sock": peer, "max_queue": 1, "compression": None}


@pytest.mark.fault("a listener that never reads", "cut off; the others hear everything")
def test_one_who_never_reads_costs_the_others_nothing_and_is_cut_off(
    home: Path, images: list[str], runtime: Runtime, listen: Listen
) -> None:
    silent = listen("client=silent", **deaf(runtime))
    readers = [Reader(listen(f"client=reader-{number}")) for number in range(2)]
    happened = 0
    deadline = time.monotonic() + WAIT_S
    with client(runtime.url, runtime.token, WAIT_S) as http:
        # How much the system takes in for it before anything waits is the system's choice.
        while "silent" in http.get("/internal/health").json()["clients"]:
            assert time.monotonic() < deadline
            # As much as is kept, and no more, so that it can be given the rest.
            size = readers[0].size * (1 + PICTURES / max(1, happened))
            if happened + PICTURES <= RING and size < RING_BYTES:
                body = {"ids": images, "names": ["castle"]}
                assert http.post("/v1/tags/add", json=body).status_code == 200
                happened += PICTURES
            for reader in readers:
                reader.wait(happened)

    for reader in readers:
        assert reader.kinds == {"hello", "image"}
        assert reader.seqs == list(range(reader.seqs[0], reader.seqs[0] + happened))
        reader.close()
    expected = readers[0].seqs
    heard = seqs(silent, happened)
    assert heard == expected[: len(heard)]
    assert 0 < len(heard) < happened
    # It comes back, and is given the rest.
    again = listen(f"client=silent&epoch={readers[0].epoch}&after={heard[-1]}")
    assert heard + seqs(again, happened - len(heard)) == expected
    with Canvas(home=home) as canvas:
        canvas.shutdown(force=True)
    assert processes_of(home) == []


def seqs(stream: ClientConnection, most: int) -> list[int]:
    """The numbers of so many events of a stream, or of those until it ends."""
    found: list[int] = []
    with contextlib.suppress(ConnectionClosed):
        while len(found) < most:
            event = json.loads(stream.recv(WAIT_S))
            assert event["type"] != "resync"
            if event["seq"] is not None:
                found.append(event["seq"])
    return found
