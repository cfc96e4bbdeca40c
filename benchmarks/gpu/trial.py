"""A job on a model that is loaded: its pixels, its seconds and its peak beside the prediction."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from benchmarks.gpu import forecast, models, subject
from benchmarks.gpu.forecast import Batches
from benchmarks.gpu.points import ALLOCATOR, Point
from mysticanvas import environment
from mysticanvas.contracts.mitigations import offload_of
from mysticanvas.contracts.tracing import ImageProfile, TraceOrder
from mysticanvas.vram.image import Prediction, Surroundings, predict
from mysticanvas.workers.engine import Control
from mysticanvas.workers.image import devices, job, offload, profiling
from mysticanvas.workers.image.measuring import NoMeter
from mysticanvas.workers.report import Report

MIB = 1 << 20
ABOVE, BELOW, LEAST = 0.03, 0.1, 8 * MIB
"""What a peak may be above and below its prediction, as shares of it; or so many bytes."""
FEWEST_LEVELS = 16


def device_as_workers_have_it(name: str) -> torch.device:
    """The device, with CUDA's allocator set as for a worker; to be asked first."""
    device = torch.device(name)
    os.environ.setdefault(ALLOCATOR, environment.engine_environment(1)[ALLOCATOR])
    if device.type == "cpu":
        # With several, OpenMP would spin for those that others keep from running.
        torch.set_num_threads(1)
    return device


def load(name: str, device: torch.device) -> job.Model:
    """A model with random weights as a worker has it; small ones on a CPU."""
    model = subject.load(name, device, device.type != "cuda")
    lively(model.pipeline)
    return model


def lively(pipeline: Any) -> None:
    """Have norms scale by one, as in models before they are trained: where they scale by next to
    nothing, pictures are grey whatever is computed, and are the same without meaning anything."""
    for part in pipeline.components.values():
        for module in part.modules() if isinstance(part, torch.nn.Module) else ():
            scale = getattr(module, "weight", None)
            if type(module).__name__.endswith("Norm") and scale is not None:
                torch.nn.init.ones_(scale)


class Taken(NamedTuple):
    """What one run of a job took."""

    pixels: str
    """SHA-256 of those of the picture that is written."""
    seconds: float
    peak: int | None
    """Most bytes that were given out; None where nobody tells."""
    levels: int
    """Different numbers in the picture, which says little if they are few."""


def run(model: job.Model, point: Point) -> Taken:
    """Run the job of a point once, the weights where its mitigations have them between jobs."""
    device, task, made = model.device, subject.task(point, model.pipeline), list[Any]()
    offload.place(model.pipeline, offload_of(point.mitigations), device)
    report = Report(made.append, Control(), lambda: devices.synchronize(device))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        job.run(task, model, Path(folder), report, NoMeter())
        seconds = time.perf_counter() - began
        [pixels] = [each.pixels_sha256 for each in made if each.type == "made"]
        [path] = Path(folder).rglob("*.png")
        levels = len(np.unique(np.asarray(Image.open(path))))
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    devices.empty_cache(device)
    return Taken(pixels, seconds, peak, levels)


def predicted(profile: ImageProfile, point: Point, device: torch.device) -> Prediction:
    """What the product counts on for a point, the LoRAs of the profile included."""
    around = Surroundings(workspace_bytes=devices.workspace(device), threads=1)
    # On a CPU, what would be moved there is not told with a profile.
    kind = offload_of(point.mitigations) if profile.moved else None
    work = forecast.work_of(point).model_copy(update={"lora_bytes": profile.lora_bytes})
    return predict(profile, work, around, offload=kind)


def line(point: Point, taken: Taken, prediction: Prediction, same: bool | None) -> dict[str, Any]:
    """A run as a line of the result.

    Args:
        same: whether the pixels are those that are expected; None if nothing is known of them.
    """
    counted = round(prediction.allocated_mib * MIB)
    told: dict[str, Any] = {
        "point": point.name,
        "ok": same is not False and is_near(taken.peak, counted) and taken.levels > FEWEST_LEVELS,
        "seconds": round(taken.seconds, 3),
        "predicted_mib": round(prediction.allocated_mib, 1),
        "phase": prediction.phase,
        "pixels": taken.pixels[:12],
        "same_pixels": same,
        "levels": taken.levels,
    }
    if taken.peak is not None:
        off = 100 * (taken.peak - counted) / counted
        told |= {"peak_mib": round(taken.peak / MIB, 1), "above_prediction_percent": round(off, 2)}
    return told


def is_near(peak: int | None, counted: int) -> bool:
    """Whether a peak is what was counted on, as far as it is known."""
    if peak is None:
        return True
    return -max(BELOW * counted, LEAST) <= peak - counted <= max(ABOVE * counted, LEAST)


def held(device: torch.device) -> int | None:
    """Bytes that are given out between two jobs; None where nobody tells."""
    if device.type != "cuda":
        return None
    devices.synchronize(device)
    devices.release_memory(device)
    return torch.cuda.memory_allocated(device)


def order(
    batches: Batches, device: torch.device, folder: Path, copies_input: bool, **files: Any
) -> TraceOrder:
    """What to trace for a class of batches.

    Args:
        folder: of the model, which needs no numbers.
        copies_input: as for `vram.workspace.convolution`.
        files: further members of the order.
    """
    dtype = devices.name_of(subject.dtype_of(batches.model, device))
    return TraceOrder.model_validate(
        {
            "path": str(folder),
            "dtype": dtype,
            "device": device.type,
            "denoise": batches.denoise,
            "images": batches.images,
            "copies_input": copies_input,
            **files,
        }
    )


def profile(batches: Batches, kind: str, tiny: bool, copies_input: bool) -> ImageProfile:
    """The profile of a model for a class of batches, as the product makes it.

    Args:
        kind: of the device.
    """
    device = torch.device(kind)
    dtype = subject.dtype_of(batches.model, device)
    with tempfile.TemporaryDirectory() as root:
        folder = models.write_folder(batches.model, Path(root) / batches.model, dtype, tiny)
        return profiling.profile(order(batches, device, folder, copies_input)).profile
