"""Makes plans: resolves a request as the queue would, and looks at the memory as it is."""

from __future__ import annotations

from collections.abc import Callable

from mysticanvas.contracts.jobs import GenerateRequest
from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.contracts.tracing import DeviceKind, Dtype
from mysticanvas.contracts.vram import VramStatus
from mysticanvas.errors import PresetError
from mysticanvas.orchestrator.arbiter import planning
from mysticanvas.orchestrator.arbiter.profiles import Batches, Profiles, Subject
from mysticanvas.orchestrator.models import Model
from mysticanvas.orchestrator.presets import Presets
from mysticanvas.orchestrator.queue.resolve import resolve
from mysticanvas.plugins.registry import Registry
from mysticanvas.settings import Settings

_TRANSFORMERS = ("Flux", "StableDiffusion3", "QwenImage", "ZImage")
"""How names of pipelines begin whose denoiser is a transformer, which overflows in float16."""


class Planner:
    """Plans requests without running them.

    Args:
        presets: find and describe the model of a request.
        profiles: what models need in memory.
        memory: who has the memory now.
        settings: of the worker.
        plugins: name its engine.
    """

    def __init__(
        self,
        presets: Presets,
        profiles: Profiles,
        memory: Callable[[], VramStatus],
        settings: Settings,
        plugins: Registry,
    ) -> None:
        self._presets = presets
        self._profiles = profiles
        self._memory = memory
        self._threads = settings.threads
        self._worker = plugins.engine(settings.engine).kind

    def plan(self, request: GenerateRequest) -> Plan:
        """What a request would take, and what would be done for it.

        Raises:
            PresetError, ModelFileError: the model cannot be used, or it is not known what it needs.
        """
        params = request.params
        preset = self._presets.find(params.preset)
        model = self._presets.model(preset)
        resolved = resolve(params, preset, model, drawn_seed=0)
        status = self._memory()
        profile = self._profiles.of(
            _subject(preset, model, status),
            [Batches.of(count, resolved.guidance_scale > 1) for count in (1, resolved.num_images)],
        )
        return planning.plan(
            resolved, profile, status, self._worker, self._threads, params.mitigations
        )


def _subject(preset: ImagePreset, model: Model, status: VramStatus) -> Subject:
    if not model.path.is_dir() or preset.unet or preset.vae or preset.clip:
        raise PresetError(
            f"What {preset.name!r} needs in memory is not predicted yet: it is a single file, or "
            "has parts of its own.",
            hint="Plans are made for diffusers folders. Generating works without one.",
        )
    device = _device(status)
    return Subject(str(model.path), model.digest, _dtype(preset, model, device), device)


def _device(status: VramStatus) -> DeviceKind:
    """The kind of device that the worker sees; a GPU is known of once a model is on it."""
    kind = status.device.name.partition(":")[0]
    return "cuda" if kind == "cuda" else "mps" if kind == "mps" else "cpu"


def _dtype(preset: ImagePreset, model: Model, device: DeviceKind) -> Dtype:
    """The number format that the worker would choose."""
    if preset.dtype != "auto":
        return preset.dtype
    if device != "cuda":
        return "float32"
    return "bfloat16" if model.pipeline.startswith(_TRANSFORMERS) else "float16"
