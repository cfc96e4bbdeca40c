"""The number format that a worker would choose for a model, and what it holds then."""

from __future__ import annotations

from mysticanvas import nvidia
from mysticanvas.contracts import presets
from mysticanvas.contracts.memory import DeviceKind
from mysticanvas.contracts.tracing import Dtype
from mysticanvas.contracts.worker import ModelRef
from mysticanvas.orchestrator.supervisor.messages import Held

_TRANSFORMERS = ("Flux", "StableDiffusion3", "QwenImage", "ZImage")
"""How names of pipelines begin whose denoiser is a transformer, which overflows in float16."""


def running(wanted: presets.Dtype, pipeline: str, device: DeviceKind | None) -> Dtype:
    """The format that a pipeline runs in on a device, `auto` being what suits it."""
    if wanted != "auto":
        return wanted
    if device != "cuda":
        return "float32"
    if not pipeline.startswith(_TRANSFORMERS):
        return "float16"
    # As the worker decides, which asks the same.
    return "bfloat16" if nvidia.has_bfloat16() else "float32"


def held(ref: ModelRef, preset: str, pipeline: str, device: DeviceKind | None) -> Held:
    """The model of a preset as a worker on that device holds it. In the format that it runs in:
    whether that was asked for or is what `auto` means there makes no other model of it."""
    return Held(ref.digest, preset, running(ref.dtype, pipeline, device))
