"""An application with everything in place that is the same for every process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from mysticanvas import __version__, transport
from mysticanvas.web import openapi, problems
from mysticanvas.web.gate import Gate
from mysticanvas.web.shell import Shell


def create_app(
    title: str, token: str, url: str, on_request: Callable[[], None] | None = None
) -> FastAPI:
    """An application with gate, body limits, request ids and problem documents in place.

    Args:
        token: the bearer token that every request must carry.
        url: where it answers; a request that names another host is refused.
        on_request: called for every request that is let in; must not block.
    """
    app = _App(title)
    problems.install(app)
    app.add_middleware(Shell, gate=Gate(token, transport.hosts(url)), on_request=on_request)
    return app


class _App(FastAPI):
    def __init__(self, title: str) -> None:
        # The interactive documentation pages would load scripts from another host.
        super().__init__(title=title, version=__version__, docs_url=None, redoc_url=None)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = openapi.completed(super().openapi())
        return self.openapi_schema
