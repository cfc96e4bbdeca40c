"""`python -m mysticanvas.workers --engine image …`: a worker process.

The order is the point: first what ends us with our parent, then a port that answers, then the word
that we are ready, and only then the imports that take seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from mysticanvas import logs, processes
from mysticanvas.workers import engine

_STOP_S = 4.0
"""Seconds that a running step has to end when the process is told to: fewer than it is given to end
by itself."""


def main() -> None:
    """Run a worker until SIGTERM or until the parent is gone."""
    arguments = _parser().parse_args()
    token = processes.join_parent(arguments.parent_pid).decode()
    if not token:
        sys.exit("The token is read from standard input, and there was none.")
    logs.configure(arguments.log, f"worker-{arguments.engine}")
    asyncio.run(_serve(arguments, token))
    logging.shutdown()
    # Not a return: the interpreter would wait for an import or a step on the engine's thread.
    os._exit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mysticanvas.workers", description=__doc__)
    parser.add_argument("--engine", required=True, help="its kind; a plug-in may bring it")
    parser.add_argument("--plugins", default="all", help="which may, as MYSTICANVAS_PLUGINS")
    parser.add_argument("--images", required=True, type=Path, help="folder for the pictures")
    parser.add_argument("--latents", type=Path, help="folder for what cannot be decoded here")
    parser.add_argument("--log", type=Path, help="log file; standard error without it")
    parser.add_argument("--ipc", default="tcp", choices=["tcp", "unix"], help="how to listen")
    parser.add_argument("--sockets", type=Path, default=Path(), help="folder, with --ipc unix")
    parser.add_argument("--ready-fd", required=True, type=int, help="pipe to report ready on")
    parser.add_argument("--parent-pid", required=True, type=int, help="to end with; 0: with stdin")
    parser.add_argument("--device", default="auto", choices=["auto", "cuda", "mps", "cpu"])
    parser.add_argument("--before", choices=["cuda", "mps", "cpu"], help="what auto was before")
    parser.add_argument("--threads", default=os.cpu_count() or 1, type=int, help="CPU threads")
    return parser


async def _serve(arguments: argparse.Namespace, token: str) -> None:
    # Late: a parent that is killed meanwhile must not be outlived by an import.
    from mysticanvas import transport, web
    from mysticanvas.workers.executor import EngineExecutor
    from mysticanvas.workers.server import create_app

    listener = transport.listen(arguments.ipc, transport.worker_socket(arguments.sockets))
    executor = EngineExecutor()
    server = web.Server(create_app(arguments.engine, executor, token, listener.url))
    serving = asyncio.create_task(server.serve(sockets=[listener.socket]))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    processes.report_ready(arguments.ready_fd, {"url": listener.url, "pid": os.getpid()})
    options = engine.Options(
        arguments.images,
        arguments.device,
        arguments.threads,
        arguments.latents,
        arguments.before,
    )
    executor.begin(lambda: engine.create(arguments.engine, options, arguments.plugins))
    await stop.wait()
    await executor.stop(_STOP_S)
    server.stop()
    await serving
    listener.close()


if __name__ == "__main__":
    main()
