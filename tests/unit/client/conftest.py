"""A real server with the shell of ours, so that problems, tokens and bodies are the real thing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from mysticanvas import transport, web
from mysticanvas.transport import Listener

TOKEN = "the token"
Serve = Callable[[FastAPI], str]


@pytest.fixture(params=["tcp", "unix"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Listener:
    """A socket of each kind."""
    return transport.listen(request.param, tmp_path / "a.sock")


@pytest.fixture
def app(listener: Listener) -> FastAPI:
    """An application to put routes on."""
    return web.create_app("test", TOKEN, listener.url)


@pytest.fixture
def serve(listener: Listener) -> Iterator[Serve]:
    """Serves an application until the test ends; gives its url."""
    running: list[tuple[web.Server, threading.Thread]] = []

    def start(app: FastAPI) -> str:
        server = web.Server(app)
        sockets = {"sockets": [listener.socket]}
        thread = threading.Thread(target=server.run, kwargs=sockets, daemon=True)
        thread.start()
        running.append((server, thread))
        return listener.url

    yield start
    for server, thread in running:
        server.stop()
        thread.join(10)
