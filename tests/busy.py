"""An orchestrator that says how it is, and is at work on whatever else it is asked for."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from mysticanvas import __version__, transport, web
from mysticanvas.contracts.base import PROTOCOL
from mysticanvas.contracts.health import Health
from mysticanvas.contracts.runtime import Runtime
from mysticanvas.home import HomePaths
from mysticanvas.processes import Holding, Identity

TOKEN = "the token"


def runtime(url: str, listening: socket.socket) -> Runtime:
    """What is known of one at that address that is this very process."""
    me = Identity.of(os.getpid())
    return Runtime(
        url=url,
        token=TOKEN,
        pid=me.pid,
        started_at=me.started_at,
        boot_id=me.boot_id,
        host="here",
        version=__version__,
        protocol=PROTOCOL,
        prefix=sys.prefix,
        listener=Holding.of(listening.fileno()),
    )


@contextlib.contextmanager
def busy(paths: HomePaths) -> Iterator[None]:
    """Have one run for that home, until the context ends."""
    done = threading.Event()
    listener = transport.listen("tcp", Path())
    app = web.create_app("test", TOKEN, listener.url)

    @app.get("/internal/health")
    def health() -> Health:
        return Health(
            process="orchestrator",
            state="busy",
            version=__version__,
            pid=os.getpid(),
            uptime_s=1.0,
            memory_mib=1,
        )

    @app.post("/v1/doctor")
    def doctor() -> None:
        done.wait(20)

    server = web.Server(app)
    sockets = {"sockets": [listener.socket]}
    thread = threading.Thread(target=server.run, kwargs=sockets, daemon=True)
    thread.start()
    paths.create()
    paths.runtime_file.write_text(runtime(listener.url, listener.socket).model_dump_json())
    try:
        yield
    finally:
        done.set()
        server.stop()
        thread.join(10)
        listener.close()
