"""The image engine: one loaded pipeline, and the jobs that run on it."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from mysticanvas import logs
from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.memory import DeviceKind, MemoryPart
from mysticanvas.contracts.mitigations import Offload, offload_of
from mysticanvas.contracts.tracing import ProfileOrder, TraceAnswer, TraceOrder
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.contracts.worker import Finished, GenerateTask, Kept, Loaded, ModelRef, RanOut
from mysticanvas.errors import OutOfMemory
from mysticanvas.workers.engine import Control, Emit, Options
from mysticanvas.workers.image import (
    adapters,
    attention,
    contexts,
    devices,
    job,
    latents,
    loading,
    measuring,
    offload,
    profiling,
    reading,
    reserve,
    stages,
)
from mysticanvas.workers.image.adapters import Adapters
from mysticanvas.workers.image.job_kinds import Kind, Known
from mysticanvas.workers.image.measuring import Meter, NoMeter
from mysticanvas.workers.image.parts import Replaced
from mysticanvas.workers.image.previews import Previewer
from mysticanvas.workers.model_files import unchanged
from mysticanvas.workers.report import Report

T = TypeVar("T")

_log = logs.get(__name__)


class _Loaded(NamedTuple):
    ref: ModelRef
    model: job.Model
    adapters: Adapters
    own_parts: list[MemoryPart]
    """What its weights take."""

    @property
    def has_transformer(self) -> bool:
        """Whether a diffusion transformer does the denoising."""
        return loading.uses_transformer(self.model.pipeline.components)

    @property
    def parts(self) -> list[MemoryPart]:
        """What its weights take, and those of its LoRAs."""
        return self.own_parts + self.adapters.parts


class ImageEngine:
    """Implements `workers.engine.Engine` with diffusers."""

    def __init__(self, options: Options) -> None:
        _quiet()
        torch.set_num_threads(options.threads)
        self._images = options.images
        self._latents = options.latents
        self._device = devices.choose(options.device, options.before)
        self._loaded: _Loaded | None = None
        self._measured = Known()
        self._meter: Meter = NoMeter()
        self._context: list[MemoryPart] = []
        """What the context of this process takes of a GPU, where it could be measured."""
        self._worn = False
        # Not its name: to ask for that takes a GPU's memory, which a process in reserve must not.
        _log.info("engine_ready", device=self._device.type, threads=options.threads)

    @property
    def models(self) -> list[str]:
        loaded = self._loaded
        return [] if loaded is None else [loaded.ref.digest]

    @property
    def memory(self) -> list[MemoryPart]:
        loaded = self._loaded
        weights = [] if loaded is None else loaded.parts
        return weights + devices.allocator_parts(self._device, weights) + self._context

    @property
    def device_kind(self) -> DeviceKind:
        kind: DeviceKind = self._device.type  # type: ignore[assignment]
        return kind

    @property
    def device_memory(self) -> DeviceMemory | None:
        # Not before it has a context, which takes memory of its own.
        there = self._loaded is not None or devices.has_context(self._device)
        return devices.memory(self._device) if there else None

    @property
    def is_worn(self) -> bool:
        # As of the newest job: to ask the allocator now would wait for whoever has it.
        return self._worn

    def lost_device(self, error: Exception) -> str | None:
        return devices.lost(error)

    def load(self, model: ModelRef) -> Loaded:
        start = time.perf_counter()
        environment = self._reporting_memory(lambda: self._ensure(model)).environment
        return Loaded(
            digest=model.digest,
            device=environment.device,
            dtype=environment.dtype,
            seconds=time.perf_counter() - start,
        )

    def profile(self, order: ProfileOrder) -> TraceAnswer:
        return self._reporting_memory(lambda: self._profile(order))

    def _profile(self, order: ProfileOrder) -> TraceAnswer:
        self._make_context()
        transformer = loading.uses_transformer(loading.base(Path(order.path)).index)
        dtype = devices.dtype_for(self._device, order.dtype, transformer)
        copies_input = devices.copies_input(self._device)
        asked = TraceOrder.model_validate(
            {
                **order.model_dump(exclude={"works"}),
                "dtype": devices.name_of(dtype),
                "device": self.device_kind,
                "attention": attention.traced_as(attention.taken(self._device, dtype)),
                "copies_input": copies_input is not False,
            }
        )
        told = self._with_reserve(asked, order.works) if order.works else profiling.profile(asked)
        return told.model_copy(update={"probed": copies_input is not None})

    def _with_reserve(self, order: TraceOrder, works: Sequence[ImageWork]) -> TraceAnswer:
        """The answer about jobs, without envelopes."""
        answer = profiling.profile(order.model_copy(update={"phases": ()}))
        if order.device != "cuda":
            return answer
        device = reserve.Device(devices.workspace(self._device))
        found = reserve.reserved(order, answer.profile.weights, works, device)
        return answer.model_copy(update={"reserved": found})

    def unload(self) -> None:
        self._loaded = None
        devices.release_memory(self._device)

    def generate(self, task: GenerateTask, emit: Emit, control: Control) -> Finished | Kept:
        report = Report(emit, control, lambda: devices.synchronize(self._device))
        try:
            undecoded = self._reporting_memory(lambda: self._generate(task, report))
            if undecoded is not None:
                return self._keep(task, undecoded, report)
            uses = self._meter.uses()
        except Exception as error:
            if isinstance(error, OutOfMemory):
                self._say_where(error)
            # Tensors that its frames hold would be in use still.
            traceback.clear_frames(error.__traceback__)
            raise
        finally:
            # It holds the pipeline, which has to be free to go.
            self._meter = NoMeter()
            devices.empty_cache(self._device)
            self._worn = devices.refused(self._device) > 0
        return Finished(
            seconds=report.seconds,
            memory_parts=self.memory,
            phases=uses,
            notices=[*self._notices(task), *report.notices],
            worn=self._worn,
        )

    def _notices(self, task: GenerateTask) -> list[str]:
        if self._loaded is None:
            return []
        return reading.notices(self._loaded.model.pipeline, task.recipe.params)

    def _keep(self, task: GenerateTask, undecoded: job.Undecoded, report: Report) -> Kept:
        """Have what was sampled decoded by another process, once.

        Raises:
            OutOfMemory: there is no such process, or it is this one.
        """
        name, where = f"{task.job_id}-{task.attempt}.safetensors", self._where()
        if (
            where is None
            or self._latents is None
            or task.latents is not None
            or not latents.save(self._latents, name, undecoded.latents)
        ):
            raise _out_of_memory(self._device)
        return Kept(
            latents=name,
            mitigations=undecoded.mitigations,
            seconds=report.seconds,
            ran_out=where,
            notices=report.notices,
        )

    def _say_where(self, error: OutOfMemory) -> None:
        """How far it came, and with how much: the next prediction counts on more."""
        where = self._where()
        if where is not None:
            error.extra["ran_out"] = where.model_dump(mode="json")

    def _where(self) -> RanOut | None:
        if self._loaded is None:
            return None
        return RanOut(
            phases=self._meter.uses(),
            environment=self._loaded.model.environment,
            memory_parts=self._loaded.parts,
        )

    def _generate(self, task: GenerateTask, report: Report) -> job.Undecoded | None:
        kept = None
        if task.latents is not None and self._latents is not None:
            kept = latents.load(self._latents, task.latents)
        if kept is not None:
            task = _with_room(task, self._device)
        offloaded = offload_of(task.recipe.mitigations)
        with contextlib.nullcontext() if self._has(task.model) else report.stage("load"):
            model = self._ensure(task.model, offloaded)
        if offload.place(model.pipeline, offloaded, self._device):
            self._weigh()
        model = self._adapted(model, task, report)
        tokens = reading.lengths(model.pipeline, task.recipe.params)
        kind = Kind.of(task.model.digest, model.environment.dtype, task.recipe, tokens)
        self._meter = measuring.meter(
            model.pipeline, self._device, kind, self._measured, model.stages.encodes, offloaded
        )
        try:
            job.run(task, model, self._images, report, self._meter, kept)
        except job.Undecoded as undecoded:
            return undecoded.with_traceback(None)
        finally:
            # It may have had to be offloaded.
            self._weigh()
        return None

    def _adapted(self, model: job.Model, task: GenerateTask, report: Report) -> job.Model:
        """The model with the job's LoRAs on, and with no others.

        Raises:
            ModelFileError: as `Adapters.apply`.
        """
        assert self._loaded is not None
        wanted, on = adapters.wanted(task), self._loaded.adapters
        try:
            if on.has(wanted):
                on.apply(wanted)
            else:
                with report.stage("load"):
                    on.apply(wanted)
        finally:
            if not on.is_sound:
                self.unload()
        if not wanted:
            return model
        return model._replace(environment=adapters.environment(model.environment))

    def _has(self, ref: ModelRef) -> bool:
        loaded = self._loaded
        if loaded is None or loaded.ref.digest != ref.digest:
            return False
        # Of the same files, so that `auto` means the same for both.
        dtype = devices.dtype_for(self._device, ref.dtype, loaded.has_transformer)
        return loaded.model.environment.dtype == devices.name_of(dtype)

    def _weigh(self) -> None:
        """Look again at where the weights lie; what they take stays the same."""
        if self._loaded is not None:
            lie = devices.places(self._loaded.model.pipeline)
            parts = [
                part.model_copy(update={"device": place})
                for part, place in zip(self._loaded.own_parts, lie, strict=True)
            ]
            self._loaded = self._loaded._replace(own_parts=parts)

    def _ensure(self, ref: ModelRef, offloaded: Offload | None = None) -> job.Model:
        """The model; if it has to be loaded, to where it lies between two jobs of that kind."""
        if self._loaded is not None and self._has(ref):
            # Of some weights, the library reads the file when they are first used.
            unchanged.require(ref.hashed)
            return self._loaded.model
        self._make_context()
        # First out, then in: two models at once may not fit.
        self.unload()
        with unchanged.unchanged(ref.hashed):
            model = self._load(ref, self._device if offloaded is None else offload.CPU)
        dtype = getattr(torch, model.environment.dtype)
        on = Adapters(model.pipeline, dtype)
        self._loaded = _Loaded(ref, model, on, devices.weights(model.pipeline))
        _log.info("model_loaded", digest=ref.digest, pipeline=type(model.pipeline).__name__)
        return model

    def _make_context(self) -> None:
        """Have a context on a GPU, and see what it takes, which can be seen once."""
        if self._device.type == "cuda" and not devices.has_context(self._device):
            self._context = contexts.made(self._device)

    def _load(self, ref: ModelRef, place: torch.device) -> job.Model:
        path = Path(ref.path)
        transformer = loading.uses_transformer(loading.base(path).index)
        dtype = devices.dtype_for(self._device, ref.dtype, transformer)
        pipeline = loading.load(path, place, dtype, Replaced.of(ref))
        of_pipeline = stages.of(pipeline)
        return job.Model(
            pipeline=pipeline,
            device=self._device,
            stages=of_pipeline,
            previewer=Previewer(of_pipeline.decode_latents),
            environment=devices.environment(self._device, dtype),
        )

    def _reporting_memory(self, work: Callable[[], T]) -> T:
        """Run it; what the device says about memory becomes our error."""
        try:
            return work()
        except Exception as error:
            if not devices.is_out_of_memory(error):
                raise
            _log.warning("out_of_memory", exc_info=True)
        # Out here the traceback is gone, and with it the tensors that its frames held.
        devices.release_memory(self._device)
        raise _out_of_memory(self._device)


def _out_of_memory(device: torch.device) -> OutOfMemory:
    return OutOfMemory(
        f"{devices.describe(device)} ran out of memory.",
        hint="Try a smaller width and height or fewer pictures at once, or close what else "
        "uses the device.",
    )


def _with_room(task: GenerateTask, device: torch.device) -> GenerateTask:
    """A task that is to be decoded alone, for which the device needs no weights but the VAE's."""
    names = task.recipe.mitigations
    if offload_of(names) is not None or not offload.helps(device):
        return task
    recipe = task.recipe.model_copy(update={"mitigations": (*names, "offload_model")})
    return task.model_copy(update={"recipe": recipe})


def _quiet() -> None:
    """No progress bars in the log, and no warnings of diffusers, since they quote prompts."""
    libraries: tuple[Any, ...] = (diffusers_logging, transformers_logging)
    for library in libraries:
        library.set_verbosity_error()
        library.disable_progress_bar()
