"""A real server with the shell of ours, so that problems, tokens and bodies are the real thing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI

from mysticanvas import web

TOKEN = "the token"
Serve = Callable[[FastAPI], str]


@pytest.fixture
def app() -> FastAPI:
    """An application to put routes on."""
    return web.create_app("test", TOKEN)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves an application on a free port until the test ends; gives its url."""
    running: list[tuple[web.Server, threading.Thread]] = []

    def start(app: FastAPI) -> str:
        listener = web.listen()
        server = web.Server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        running.append((server, thread))
        host, port = listener.getsockname()
        return f"http://{host}:{port}"

    yield start
    for server, thread in running:
        server.stop()
        thread.join(10)
