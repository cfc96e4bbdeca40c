"""`python -m mysticanvas.workers.llm.inspector …`: looks into a GGUF file, and ends.

llama.cpp may end its process, or never come back, over what a file says, so whoever wants to know
what is in one asks a process that nobody misses. The order is a line of JSON on standard input, the
answer one on the pipe that `--ready-fd` names.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pydantic import ValidationError

from mysticanvas import processes
from mysticanvas.contracts.llm import Inspection, InspectionAnswer, InspectionOrder
from mysticanvas.contracts.problem import Problem
from mysticanvas.errors import InvalidRequest, MystiCanvasError
from mysticanvas.vram import llm
from mysticanvas.workers.llm import metadata
from mysticanvas.workers.model_files import gguf

ORDER_BYTES = 1 << 18


def main() -> None:
    """Answer one order."""
    parser = argparse.ArgumentParser(prog="python -m mysticanvas.workers.llm.inspector")
    parser.add_argument("--ready-fd", required=True, type=int, help="pipe to answer on")
    parser.add_argument("--parent-pid", required=True, type=int, help="process to end with")
    arguments = parser.parse_args()
    line = processes.join_parent(arguments.parent_pid, ORDER_BYTES)
    processes.report_ready(arguments.ready_fd, answer(line).model_dump(mode="json"))


def answer(line: bytes) -> InspectionAnswer:
    """The answer to an order, whatever is wrong with it."""
    try:
        return InspectionAnswer(inspection=inspect(_order(line)))
    except MystiCanvasError as error:
        return InspectionAnswer(problem=Problem.of(error))


def inspect(order: InspectionOrder) -> Inspection:
    """Look into a file.

    Raises:
        ModelFileError: it is damaged, no language model, or one that llama.cpp refuses; or what it
            is to see with is damaged or something else.
        InvalidRequest: the model cannot have such a context.
    """
    path = Path(order.path)
    model = metadata.describe(gguf.read(path), path)
    for params in order.contexts:
        llm.check_cache(model, params)
    mmproj_bytes = 0
    if order.mmproj is not None:
        sight = Path(order.mmproj)
        mmproj_bytes = metadata.projector_bytes(gguf.read(sight), sight)
    # Late: a file that is not sound is refused without it.
    from mysticanvas.workers.llm import probing

    probed = probing.probe(path, order.contexts, order.n_gpu_layers)
    return Inspection(
        model=model, mmproj_bytes=mmproj_bytes, devices=probed.devices, buffers=probed.buffers
    )


def _order(line: bytes) -> InspectionOrder:
    try:
        return InspectionOrder.model_validate_json(line)
    except ValidationError as error:
        raise InvalidRequest(f"That is no order: {error}.", parameter="order") from error


if __name__ == "__main__":
    main()
