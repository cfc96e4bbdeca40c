"""`python -m mysticanvas.workers.image.predictor --parent-pid …`: says what a model needs.

One order on standard input, one answer on standard output, each a line of JSON; then the process
ends. It parses files of strangers, so it is a process of its own with limits on its memory and its
time. No weights are read, and none allocated.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import sys
import traceback

from mysticanvas import processes
from mysticanvas.contracts.problem import Problem
from mysticanvas.contracts.tracing import TraceAnswer, TraceOrder, TraceReply
from mysticanvas.errors import MystiCanvasError

MEMORY_BYTES = 16 << 30
"""Of addresses, of which the libraries map several gigabytes and use little."""
CPU_SECONDS = 60
"""A first prediction takes 10 with all imports."""


def main() -> None:
    """Carry out one order."""
    parser = argparse.ArgumentParser(prog="python -m mysticanvas.workers.image.predictor")
    parser.add_argument("--parent-pid", required=True, type=int, help="process to end with")
    processes.die_with_parent(parser.parse_args().parent_pid)
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    _limit(resource.RLIMIT_CPU, CPU_SECONDS)
    # Whatever a library prints must not get between us and the asker.
    with contextlib.redirect_stdout(sys.stderr):
        reply = _reply(sys.stdin.readline())
    sys.stdout.write(reply.model_dump_json() + "\n")


def _reply(line: str) -> TraceReply:
    try:
        return TraceReply(answer=carry_out(TraceOrder.model_validate_json(line)))
    except MystiCanvasError as error:
        return TraceReply(problem=Problem.of(error))
    except Exception as error:  # noqa: BLE001  # whatever a configuration makes a library raise
        traceback.print_exc()
        return TraceReply(problem=Problem.of(error))


def carry_out(order: TraceOrder) -> TraceAnswer:
    """The weights and envelopes of a model.

    Raises:
        ModelFileError: a file is no model, is damaged, or is of an architecture that is not
            known here.
    """
    # Late: the limits have to hold for what the imports do, too.
    from mysticanvas.workers.image import profiling

    return profiling.profile(order)


def _limit(kind: int, most: int) -> None:
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (most, most))


if __name__ == "__main__":
    main()
