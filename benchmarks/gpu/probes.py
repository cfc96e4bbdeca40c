"""What a GPU is like, whatever model runs on it; each in a process of its own."""

from __future__ import annotations

import gc
import math
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu import meter as meters, subject
from benchmarks.gpu.points import ALLOCATOR, Point
from mysticanvas.vram import workspace
from mysticanvas.workers.image import devices, job
from mysticanvas.workers.image.measuring import NoMeter
from mysticanvas.workers.image.storages import layout_of

_CONVOLUTIONS = (
    ("float16", 1, 128, 128, 512),
    ("float16", 2, 320, 320, 128),
    ("float16", 2, 1280, 1280, 32),
    ("bfloat16", 1, 256, 256, 256),
    ("float32", 1, 128, 128, 512),
    ("float32", 1, 512, 512, 128),
)
"""Number format, batch, channels before and after, side: three by three pixels each."""


def context() -> dict[str, Any]:
    """What the device lacks once a process has a context; to be asked of two at the same time."""
    torch.cuda.init()
    torch.zeros(1, device="cuda")
    torch.cuda.synchronize()
    return {
        "pid": os.getpid(),
        "used": meters.used() - torch.cuda.memory_reserved(),
        "device": torch.cuda.get_device_name(),
        "capability": list(torch.cuda.get_device_capability()),
        "total": torch.cuda.get_device_properties(0).total_memory,
        "versions": {
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        },
        "worker_view": _view(),
    }


def libraries() -> dict[str, Any]:
    """What cuBLAS keeps of the allocator's memory, and what the libraries' kernels take outside of
    it, once a product, a convolution and an attention of each format have run."""
    start = torch.cuda.memory_allocated()
    kept = {}
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        for name, work in (("product", _product), ("linear", _linear)):
            work(dtype)
            gc.collect()
            kept[f"{name} {devices.name_of(dtype)}"] = torch.cuda.memory_allocated() - start
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        _convolve(dtype, 1, 64, 64, 64)
        query = torch.zeros(1, 4, 256, 64, device="cuda", dtype=dtype)
        functional.scaled_dot_product_attention(query, query, query)
    del query
    gc.collect()
    torch.cuda.synchronize()
    return {
        "kept": kept,
        "workspace": torch.cuda.memory_allocated() - start,
        "used": meters.used() - torch.cuda.memory_reserved(),
    }


def convolutions() -> dict[str, Any]:
    """Bytes beside input, weight and output that convolutions take, and what the rule says; and
    what the product finds out about the device for it."""
    copies_input = devices.copies_input(torch.device("cuda")) is not False
    found = []
    for name, batch, before, after, side in _CONVOLUTIONS:
        taken, rule = _convolve(getattr(torch, name), batch, before, after, side, copies_input)
        found.append(
            {
                "dtype": name,
                "shape": [batch, before, after, side],
                "measured": taken,
                "rule": rule,
            }
        )
    return {"copies_input": copies_input, "rows": found}


def attention(name: str, device: torch.device, tiny: bool) -> dict[str, Any]:
    """Which kernels of attention a model really calls, and how long its memory takes to be back
    once it is unloaded."""
    model = subject.load(name, device, tiny)
    side = 64 if tiny else 256
    report = meters.PhaseReport(_NoMeter(), lambda: devices.synchronize(device))
    operations: Counter[str] = Counter()
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as profiler:
        task = subject.task(Point(name, side, side), model.pipeline)
        _run(model, task, report)
    for event in profiler.key_averages():
        if "attention" in event.key:
            operations[event.key.removeprefix("aten::")] += event.count
    del task, profiler
    found: dict[str, Any] = {"operations": dict(operations)}
    if device.type != "cuda":
        return found
    holds, before = meters.used(), torch.cuda.memory_allocated()
    began = time.perf_counter()
    del model
    devices.release_memory(device)
    released = time.perf_counter() - began
    gone = meters.waited(lambda: meters.used() <= holds - 0.98 * before, 5.0)
    return found | {
        "held": holds,
        "allocated": before,
        "release_ms": released * 1e3,
        "back_after_ms": None if gone is None else gone * 1e3,
        "left_used": meters.used(),
        "left_reserved": torch.cuda.memory_reserved(),
        "left_allocated": torch.cuda.memory_allocated(),
    }


def growing() -> dict[str, Any]:
    """Whether segments that grow are accepted, in a process whose environment asks for them."""
    tensor = torch.zeros(64 << 20, device="cuda", dtype=torch.uint8)
    segments = torch.cuda.memory_snapshot()
    del tensor
    return {
        "asked": os.environ.get(ALLOCATOR),
        "accepted": any(bool(each.get("is_expandable")) for each in segments),
    }


class _NoMeter:
    def __init__(self) -> None:
        self.phases: dict[str, meters.Peaks] = {}

    def begin(self, phase: str) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


def _run(model: job.Model, task: Any, report: meters.PhaseReport) -> None:
    with tempfile.TemporaryDirectory() as folder:
        job.run(task, model, Path(folder), report, NoMeter())


def _view() -> dict[str, Any] | None:
    seen = devices.memory(torch.device("cuda"))
    return seen.model_dump() if seen else None


def _product(dtype: torch.dtype) -> None:
    matrix = torch.zeros(512, 512, device="cuda", dtype=dtype)
    torch.matmul(matrix, matrix)


def _linear(dtype: torch.dtype) -> None:
    matrix = torch.zeros(512, 512, device="cuda", dtype=dtype)
    functional.linear(matrix, matrix, matrix[0])


def _convolve(
    dtype: torch.dtype, batch: int, before: int, after: int, side: int, copies_input: bool = True
) -> tuple[int, int]:
    """Bytes taken beside input, weight and output; and by the rule."""
    given = torch.zeros(batch, before, side, side, device="cuda", dtype=dtype)
    weight = torch.zeros(after, before, 3, 3, device="cuda", dtype=dtype)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    start = torch.cuda.memory_allocated()
    with torch.inference_mode():
        made = functional.conv2d(given, weight, padding=1)
    torch.cuda.synchronize()
    size = made.numel() * made.element_size()
    of = workspace.Convolution(
        batch=batch,
        given=given.numel() * given.element_size(),
        weight=weight.numel() * weight.element_size(),
        made=size,
        channels=(before, after),
        kernel=math.prod(weight.shape[2:]),
        layout=layout_of(given),
    )
    name: Any = devices.name_of(dtype)
    rule = max(workspace.convolution("cuda", name, of, copies_input))
    return torch.cuda.max_memory_allocated() - start - size, rule
