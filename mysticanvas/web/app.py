"""An application with everything in place that is the same for every process."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from mysticanvas import __version__, transport
from mysticanvas.web import openapi, problems
from mysticanvas.web.gate import Gate
from mysticanvas.web.shell import Shell, Visits


def create_app(title: str, token: str, url: str, visits: Visits | None = None) -> FastAPI:
    """An application with gate, body limits, request ids and problem documents in place. Its
    `state.last_error` is the newest problem that nobody foresaw.

    Args:
        token: the bearer token that every request must carry.
        url: where it answers; a request that names another host is refused.
        visits: told of every request, and may refuse it.
    """
    app = _App(title)
    app.state.last_error = None
    problems.install(app)
    app.add_middleware(Shell, gate=Gate(token, transport.hosts(url)), visits=visits)
    return app


class _App(FastAPI):
    def __init__(self, title: str) -> None:
        # The interactive documentation pages would load scripts from another host.
        super().__init__(title=title, version=__version__, docs_url=None, redoc_url=None)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = openapi.completed(super().openapi())
        return self.openapi_schema
