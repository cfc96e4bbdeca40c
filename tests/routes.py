"""The orchestrator's routes over a real store, without its workers, for a canvas to talk to."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mysticanvas import transport, web
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator import host_jobs
from mysticanvas.orchestrator.api import events, images, jobs, presets, search, tags
from mysticanvas.orchestrator.arbiter.pins import Pins
from mysticanvas.orchestrator.events import Bus
from mysticanvas.orchestrator.inspection import Inspector
from mysticanvas.orchestrator.llm_presets import LLMPresets
from mysticanvas.orchestrator.presets import Presets
from mysticanvas.orchestrator.queue.intake import Intake
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.plugins import loading
from mysticanvas.processes import Identity
from mysticanvas.settings import Settings
from mysticanvas.store import Store

TOKEN = "the token"


class Routes:
    """Routes that are served until the context ends; jobs are taken in and none is run.

    Args:
        store: what they answer from.
        paths: of its home.
        engine: of the models that jobs may ask for.
    """

    def __init__(self, store: Store, paths: HomePaths, engine: str = "image") -> None:
        settings = Settings(min_free_mib=0, engine=engine)
        self.bus = Bus()
        self.transitions = Transitions(store, self.bus, Identity.of(os.getpid()))
        unused: Any = None
        kinds = host_jobs.table(store, paths, unused, 7.0, unused, unused)
        inspector = Inspector()
        kept = Presets(store, inspector, loading.load(settings.plugins), settings.engine)
        self.intake = Intake(store, self.transitions, kinds, paths.root, settings, kept)
        self._listener = transport.listen("tcp", Path())
        self.url = self._listener.url
        self.app = web.create_app("test", TOKEN, self.url)
        self.app.include_router(jobs.routes(store, self.intake, self.transitions))
        self.app.include_router(images.routes(store, self.bus))
        self.app.include_router(search.routes(store))
        self.app.include_router(tags.routes(store, self.bus))
        self.app.include_router(presets.routes(store, kept, LLMPresets(store, inspector), Pins()))
        self.app.include_router(events.routes(self.bus))

    @contextlib.contextmanager
    def served(self) -> Iterator[Routes]:
        """Serve them."""
        server = web.Server(self.app)
        sockets = {"sockets": [self._listener.socket]}
        thread = threading.Thread(target=server.run, kwargs=sockets, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.stop()
            self.bus.close()
            thread.join(10)
            self._listener.close()
