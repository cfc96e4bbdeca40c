"""`python -m mysticanvas.orchestrator`: started by a kernel, never by hand."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import Any

import mysticanvas.orchestrator.lean  # noqa: F401  # first: it keeps libraries out of the rest
from mysticanvas import errors, logs, ownership, processes
from mysticanvas.contracts.problem import Problem
from mysticanvas.logs import capture
from mysticanvas.orchestrator.app import Orchestrator
from mysticanvas.orchestrator.signs import Signs
from mysticanvas.settings import Settings

_log = logs.get("mysticanvas.orchestrator")


@ownership.private()
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="mysticanvas.orchestrator")
    parser.add_argument("--home", required=True)
    parser.add_argument("--ready-fd", type=int, required=True)
    options = parser.parse_args(argv)
    settings = Settings.load(home=options.home)
    paths = settings.paths
    paths.create()
    logs.configure(paths.logs / "orchestrator.jsonl", "orchestrator")
    if left := capture.take_in(paths.logs / "orchestrator.out"):
        _log.warning("earlier_output", text=left)
    try:
        orchestrator = Orchestrator(settings, Signs(options.ready_fd).give)
    except errors.MystiCanvasError as error:
        _log.exception("start_failed")
        processes.report_ready(
            options.ready_fd, {"problem": Problem.of(error).model_dump(mode="json")}
        )
        return 1

    def stop(*_: Any) -> None:
        orchestrator.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        runtime = orchestrator.start()
        # The socket listens already: whoever connects from here on is answered.
        processes.report_ready(options.ready_fd, {"runtime": runtime.model_dump(mode="json")})
        _log.info("started", url=runtime.url)
        orchestrator.serve()
    finally:
        orchestrator.close()
        _log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
