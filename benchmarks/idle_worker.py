"""A worker process whose engine imports nothing: what is left is the shell of every worker."""

from __future__ import annotations

from unittest import mock

from mysticanvas.workers import __main__ as worker, engine
from mysticanvas.workers.engine import Options


class IdleEngine:
    """As much of an engine as a worker asks for that has nothing to do."""

    models: list[str] = []

    def unload(self) -> None:
        """There is nothing."""


def create(_kind: str, _options: Options, _plugins: str) -> IdleEngine:
    """In place of `engine.create`."""
    return IdleEngine()


if __name__ == "__main__":
    with mock.patch.object(engine, "create", create):
        worker.main()
