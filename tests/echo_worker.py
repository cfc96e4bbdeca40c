"""`python -m echo_worker …`: a worker process whose engine is the echo, started like any other."""

from __future__ import annotations

from echo import EchoEngine

from mysticanvas.workers import __main__ as worker, engine
from mysticanvas.workers.engine import Options


class EchoWorkerEngine(EchoEngine):
    """Works until it is cancelled, or ends at once where there is one step only."""

    def __init__(self, _options: Options) -> None:
        super().__init__()


if __name__ == "__main__":
    engine.ENGINES["echo"] = "echo_worker:EchoWorkerEngine"
    worker.main()
