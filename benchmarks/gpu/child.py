"""`python -m benchmarks.gpu.child`: imports what a worker does, then takes orders.

An order is a line of JSON on standard input, its answer one on standard output. The device is not
touched before an order asks for it. The process ends with its input.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import models, probes, reserve, subject
from benchmarks.gpu.points import Point, grows
from mysticanvas import processes
from mysticanvas.contracts.tracing import TraceOrder
from mysticanvas.workers.image import devices, profiling
from mysticanvas.workers.image.reserve import Device

_ERROR_CHARACTERS = 500
Order = dict[str, Any]


def main() -> None:
    """Carry out orders until there are no more."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.child", description=__doc__)
    parser.add_argument("--parent-pid", required=True, type=int, help="process to end with")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    options = parser.parse_args()
    processes.die_with_parent(options.parent_pid)
    torch.set_num_threads(options.threads)
    # Whatever a library prints must not get between us and the asker.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _say(answers, {"ready": True})
    for line in sys.stdin:
        _say(answers, _answer(json.loads(line)))
    # At once: the next process waits for the device, and there is nothing to tidy away.
    os._exit(0)


def _say(answers: Any, content: dict[str, Any]) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()


def _answer(order: Order) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        answer = {"answer": _ORDERS[order["kind"]](order)}
    except Exception as error:  # noqa: BLE001  # a row of the result, whatever it is
        traceback.print_exc()
        text = " ".join(str(error).split())[:_ERROR_CHARACTERS]
        answer = {
            "error": f"{type(error).__name__}: {text}",
            "out_of_memory": devices.is_out_of_memory(error),
        }
    return answer | {"seconds": time.perf_counter() - began}


def _device(order: Order) -> torch.device:
    return torch.device(order["device"])


def _measure(order: Order) -> Any:
    point = Point.from_json(order["point"])
    return subject.measure(point, _device(order), order["tiny"])


def _attention(order: Order) -> Any:
    return probes.attention(order["model"], _device(order), order["tiny"])


def _profile(order: Order) -> Any:
    """The profile of a model for a class of batches, as the product makes it."""
    name = order["model"]
    dtype = devices.name_of(subject.dtype_of(name, _device(order)))
    with tempfile.TemporaryDirectory() as root:
        folder = models.write_folder(name, Path(root) / name, getattr(torch, dtype), order["tiny"])
        asked = TraceOrder.model_validate(
            {
                "path": str(folder),
                "dtype": dtype,
                "device": order["device"],
                "denoise": order["denoise"],
                "images": order["images"],
                "copies_input": order["copies_input"],
            }
        )
        return profiling.profile(asked).profile.model_dump(mode="json")


def _reserve(order: Order) -> Any:
    point = Point.from_json(order["point"])
    device = Device(order["workspace"], grows(point.segments))
    dtype, weights = models.DTYPES[point.model], order["weights"]
    found = reserve.usage(point, dtype, device, order["copies_input"], order["tiny"], weights)
    return found._asdict()


_ORDERS: dict[str, Callable[[Order], Any]] = {
    "context": lambda _: probes.context(),
    "libraries": lambda _: probes.libraries(),
    "convolutions": lambda _: probes.convolutions(),
    "growing": lambda _: probes.growing(),
    "attention": _attention,
    "measure": _measure,
    "profile": _profile,
    "reserve": _reserve,
}


if __name__ == "__main__":
    main()
