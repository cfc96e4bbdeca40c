"""A point that runs: the job of a worker, on a model with random weights."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import meter as meters, models
from benchmarks.gpu.points import PROMPT, STEPS, Point
from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.recipe import Environment, Recipe, ResolvedParams
from mysticanvas.contracts.worker import GenerateTask, ModelRef
from mysticanvas.workers.image import attention, devices, job, stages
from mysticanvas.workers.image.measuring import NoMeter
from mysticanvas.workers.image.previews import Previewer


def dtype_of(name: str, device: torch.device) -> torch.dtype:
    """What a model runs in."""
    on_gpu: torch.dtype = getattr(torch, models.DTYPES[name])
    return on_gpu if device.type == "cuda" else torch.float32


def load(name: str, device: torch.device, tiny: bool) -> job.Model:
    """A model as a worker has it once it is loaded."""
    dtype = dtype_of(name, device)
    pipeline = models.pipeline(name, device, dtype, tiny)
    of_pipeline = stages.of(pipeline)
    return job.Model(
        pipeline=pipeline,
        device=device,
        stages=of_pipeline,
        previewer=Previewer(of_pipeline.decode_latents),
        environment=Environment(
            device=devices.describe(device),
            dtype=devices.name_of(dtype),
            threads=torch.get_num_threads(),
            versions={},
            attention=attention.taken(device, dtype),
        ),
    )


def task(point: Point, pipeline: Any) -> GenerateTask:
    """The task of a worker for a point; one picture of the batch is written."""
    params = ResolvedParams(
        prompt=PROMPT,
        width=point.width,
        height=point.height,
        num_inference_steps=STEPS,
        guidance_scale=point.guidance,
        seed=7,
        num_images=point.images,
        scheduler=type(pipeline.scheduler).__name__,
    )
    return GenerateTask(
        job_id=new_id(),
        attempt=1,
        image_ids=[new_id() for _ in range(point.images)],
        model=ModelRef(path=point.model, digest=point.model),
        recipe=Recipe(
            preset=point.model,
            pipeline=type(pipeline).__name__,
            params=params,
            model_files={"model": "0" * 64},
            mitigations=point.mitigations,
        ),
        project="default",
        created_at=datetime.now(UTC),
        only_index=0,
        allowed="none",
    )


def measure(point: Point, device: torch.device, tiny: bool) -> dict[str, Any]:
    """Load the model, run the job, and tell of its memory in bytes and of its time in seconds."""
    began = time.perf_counter()
    on_gpu = device.type == "cuda"
    found: dict[str, Any] = {"context_used": _context() if on_gpu else None}
    model = load(point.model, device, tiny)
    devices.synchronize(device)
    weights = {part.name: round(part.mib * (1 << 20)) for part in devices.weights(model.pipeline)}
    found |= {"load_s": time.perf_counter() - began, "weights": weights}
    if on_gpu:
        found |= {
            "loaded_allocated": torch.cuda.memory_allocated(),
            "loaded_reserved": torch.cuda.memory_reserved(),
        }
    meter: Any = meters.CudaMeter() if on_gpu else meters.CpuMeter(sum(weights.values()))
    report = meters.PhaseReport(meter, lambda: devices.synchronize(device))
    if not model.stages.encodes:
        meters.split(model.pipeline, meter)
    with tempfile.TemporaryDirectory() as folder, meter.sampling():
        job.run(task(point, model.pipeline), model, Path(folder), report, NoMeter())
        meter.end()
    found |= {"phases": meter.phases, "seconds": report.seconds}
    if on_gpu:
        found |= _left(device)
    return found


def _context() -> int:
    torch.cuda.init()
    torch.cuda.synchronize()
    return meters.used()


def _left(device: torch.device) -> dict[str, Any]:
    """What the process has at the end of a job."""
    seen = devices.memory(device)
    stats = torch.cuda.memory_stats()
    return {
        "left_allocated": torch.cuda.memory_allocated(),
        "left_reserved": torch.cuda.memory_reserved(),
        "left_used": meters.used(),
        "retries": stats.get("num_alloc_retries", 0),
        "worker_view": seen.model_dump() if seen else None,
    }
