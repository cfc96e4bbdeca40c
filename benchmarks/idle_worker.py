"""A worker process whose engine imports nothing: what is left is the shell of every worker."""

from __future__ import annotations

from mysticanvas.workers import __main__ as worker, engine
from mysticanvas.workers.engine import Options


class IdleEngine:
    """As much of an engine as a worker asks for that has nothing to do."""

    models: list[str] = []

    def __init__(self, _options: Options) -> None:
        pass

    def unload(self) -> None:
        """There is nothing."""


if __name__ == "__main__":
    engine.ENGINES["idle"] = "benchmarks.idle_worker:IdleEngine"
    worker.main()
