"""`python -m mysticanvas.workers.hub`: fetches one model, and says how far it is.

A line of JSON on standard input is the order, lines on the pipe of `--ready-fd` are the news. It
can be killed at any moment: what is there then is not fetched again. It is told no secret of ours;
the token of the hub, if there is one, is where `hf auth login` has put it.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time

from mysticanvas import processes
from mysticanvas.contracts.problem import Problem
from mysticanvas.contracts.pulls import PullNews, PullOrder

PULSE_S = 2.0
"""Seconds between two signs of life."""


def _watch_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Carry out one order."""
    parser = argparse.ArgumentParser(prog="python -m mysticanvas.workers.hub")
    parser.add_argument("--ready-fd", required=True, type=int, help="pipe for the news")
    parser.add_argument("--parent-pid", required=True, type=int, help="process to end with")
    arguments = parser.parse_args()
    processes.die_with_parent(arguments.parent_pid)
    news = os.fdopen(arguments.ready_fd, "wb", buffering=0)
    lines = iter(sys.stdin.buffer.readline, b"")
    order = PullOrder.model_validate_json(next(line for line in lines if line.strip()))
    threading.Thread(target=_watch_parent, name="death-watch", daemon=True).start()

    telling = threading.RLock()
    told = PullNews(stage="list")

    def tell(what: PullNews) -> None:
        nonlocal told
        with telling:
            told = what
            news.write(what.model_dump_json().encode() + b"\n")

    def pulse() -> None:
        """Say again how far it is: the hub may be silent for long, and who asked has to see that
        this process does not hang."""
        while True:
            time.sleep(PULSE_S)
            with telling:
                if told.report is not None or told.problem is not None:
                    return
                tell(told)

    threading.Thread(target=pulse, name="pulse", daemon=True).start()

    # Late: the library reads its environment when it is imported, and takes a second.
    from mysticanvas.workers.hub.pull import pull

    try:
        tell(PullNews(report=pull(order, tell)))
    # Whatever it is, whoever asked has to hear of it.
    except Exception as error:  # noqa: BLE001
        tell(PullNews(problem=Problem.of(error)))


if __name__ == "__main__":
    main()
