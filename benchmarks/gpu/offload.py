"""`python -m benchmarks.gpu.offload`: offloaded jobs beside plain ones, on models of real shapes.

For each way: whether the pixels are the same, the most that is given out beside its prediction, and
how many times as long it takes. `--device cpu` rehearses it with small models and real hooks.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import forecast, models, subject
from benchmarks.gpu.points import Point
from mysticanvas.contracts.mitigations import OFFLOADS, offload_of
from mysticanvas.contracts.tracing import ImageProfile, TraceOrder
from mysticanvas.vram.image import Surroundings, predict
from mysticanvas.workers.engine import Control
from mysticanvas.workers.image import devices, job, offload, profiling
from mysticanvas.workers.image.measuring import NoMeter
from mysticanvas.workers.report import Report

MIB = 1 << 20
_WAYS: tuple[tuple[str, ...], ...] = ((), *((kind,) for kind in OFFLOADS), ("vae_tiling",))


def main() -> None:
    """Run what the arguments name, and print a line of JSON for each job."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.offload", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", nargs="+", default=["sd15", "sdxl"])
    parser.add_argument("--side", type=int, default=1024)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    for name in arguments.models:
        for line in compare(name, device, arguments.side):
            print(json.dumps(line), flush=True)


def compare(name: str, device: torch.device, side: int) -> list[dict[str, Any]]:
    """What each way to run a model's job takes and gives, the plain one first and last."""
    tiny = device.type != "cuda"
    profile = _profile(name, device, tiny)
    with tempfile.TemporaryDirectory() as folder:
        model = subject.load(name, device, tiny)
        found = [
            _run(model, Point(name, side, side, 1, way), profile, Path(folder))
            for way in (*_WAYS, ())
        ]
    pixels, seconds = found[0]["pixels"], found[0]["seconds"]
    return [
        each | {"same_pixels": each["pixels"] == pixels, "slowdown": each["seconds"] / seconds}
        for each in found
    ]


def _run(model: job.Model, point: Point, profile: ImageProfile, folder: Path) -> dict[str, Any]:
    device, kind = model.device, offload_of(point.mitigations)
    offload.place(model.pipeline, kind, device)
    task = subject.task(point, model.pipeline)
    made: list[Any] = []

    def once() -> float:
        report = Report(made.append, Control(), lambda: devices.synchronize(device))
        began = time.perf_counter()
        job.run(task, model, folder, report, NoMeter())
        return time.perf_counter() - began

    once()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = once()
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    around = Surroundings(workspace_bytes=devices.workspace(device), threads=1)
    # On a CPU, what would be moved there is not told with a profile.
    as_told = kind if profile.moved else None
    predicted = predict(profile, forecast.work_of(point), around, offload=as_told)
    return {
        "point": point.name,
        "seconds": round(seconds, 3),
        "peak_mib": round(peak / MIB, 1),
        "predicted_mib": round(predicted.allocated_mib, 1),
        "phase": predicted.phase,
        "pixels": [each.pixels_sha256 for each in made if each.type == "made"][-1],
    }


def _profile(name: str, device: torch.device, tiny: bool) -> ImageProfile:
    dtype: Any = devices.name_of(subject.dtype_of(name, device))
    kind: Any = device.type
    with tempfile.TemporaryDirectory() as folder:
        path = models.write_folder(name, Path(folder), getattr(torch, dtype), tiny)
        order = TraceOrder(
            path=str(path),
            dtype=dtype,
            device=kind,
            copies_input=devices.copies_input(device) is not False,
        )
        return profiling.profile(order).profile


if __name__ == "__main__":
    main()
