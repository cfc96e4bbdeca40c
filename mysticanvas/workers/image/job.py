"""One generation from start to end, on a pipeline that is loaded."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image

from mysticanvas.contracts.mitigations import offload_of, without_offload
from mysticanvas.contracts.recipe import Environment, ResolvedParams
from mysticanvas.contracts.worker import GenerateTask, Previewed
from mysticanvas.workers import pictures
from mysticanvas.workers.image import (
    attention,
    devices,
    mitigations,
    offload,
    recovery,
    schedulers,
)
from mysticanvas.workers.image.measuring import Meter, NoMeter
from mysticanvas.workers.image.previews import Previewer
from mysticanvas.workers.image.recovery import Found, Refusals
from mysticanvas.workers.image.stages import OnStep, Sampled, Stages
from mysticanvas.workers.report import Report

_OTHERWISE = (
    "Memory ran so short while it was drawn that the GPU's libraries computed by other algorithms "
    "than usual: the same recipe gives slightly different pixels where there is more."
)


class Undecoded(Exception):
    """Pictures were sampled, and memory ran out whatever way they were decoded.

    Attributes:
        latents: on the CPU.
        mitigations: with which they were sampled.
    """

    def __init__(self, latents: torch.Tensor, mitigations: tuple[str, ...]) -> None:
        super().__init__("memory ran out in every way to decode")
        self.latents = latents
        self.mitigations = mitigations


class Model(NamedTuple):
    """A pipeline, and what belongs to it."""

    pipeline: Any
    device: torch.device
    """That it computes on; its weights may lie elsewhere."""
    stages: Stages
    previewer: Previewer
    environment: Environment


def run(
    task: GenerateTask,
    model: Model,
    folder: Path,
    report: Report,
    meter: Meter,
    latents: torch.Tensor | None = None,
) -> None:
    """Make the pictures of a task and write them below `folder`.

    Args:
        meter: measures what the phases take.
        latents: what was sampled for it before, and is to be decoded.

    Raises:
        Undecoded: there is no memory to decode what was sampled, and more is allowed than to make
            the pictures just as they were asked for.
        JobCancelled: between two steps.
        InvalidRequest: the scheduler, the ids or the index do not suit.
        StoreFull: no space for a file.
    """
    pictures.require_ids(task)
    offloaded = offload_of(task.recipe.mitigations)
    with (
        contextlib.ExitStack() as placed,
        torch.inference_mode(),
        attention.fixed(model.environment.attention),
    ):
        placed.enter_context(offload.applied(model.pipeline, offloaded, model.device))
        if latents is None:
            used, images = _images(task, model, report, meter, placed)
        else:
            used, images = _decoded(task, model, report, meter, latents)
    recipe = task.recipe.model_copy(update={"mitigations": used})
    task = task.model_copy(update={"recipe": recipe})
    with report.stage("save"):
        for index, image in enumerate(images):
            if task.only_index in (None, index):
                report.emit(pictures.made(task, index, image, model.environment, folder))


def _images(
    task: GenerateTask, model: Model, report: Report, meter: Meter, placed: contextlib.ExitStack
) -> tuple[tuple[str, ...], list[Image.Image]]:
    """The pictures, and by what mitigations.

    Args:
        placed: ends what was done about where the weights lie.
    """
    params, planned = task.recipe.params, task.recipe.mitigations
    refusals, leave = Refusals(model.device), task.allowed == "auto"
    # What is part of the call that denoises is no phase of its own.
    encoding = meter if model.stages.encodes else NoMeter()
    moved = offload.named(planned)

    def encode() -> dict[str, Any]:
        with encoding.phase("text_encode", (), moved):
            return refusals.usual(lambda: model.stages.encode(params))

    with report.stage("encode"):
        tries = [encode] if task.allowed == "none" else [encode, encode]
        read = recovery.first_that_fits("encode", model.device, tries, alike=True, leave=leave)
    encoded = read.result
    steps = params.num_inference_steps
    with report.stage("denoise", steps), schedulers.applied(model.pipeline, params):
        on_step = _on_step(model, report, task, meter, refusals)
        used, drawn = _sample(model, encoded, task, on_step, meter, placed, refusals)
    sampled = drawn.result
    if not (read.is_usual and drawn.is_usual):
        report.notices.append(_OTHERWISE)
    # If weights come and go from here on, the meter does not know of it.
    knows = model.stages.decodes and offload_of(used) == offload_of(planned)
    with report.stage("decode"):
        try:
            return _decode(model, sampled, encoded, task, used, meter if knows else NoMeter())
        except Exception as error:
            if (
                not model.stages.decodes
                or task.allowed == "none"
                or not devices.is_out_of_memory(error)
            ):
                raise
    # Out here the traceback is gone, and with it the tensors that its frames held.
    devices.release_memory(model.device)
    raise Undecoded(sampled.latents.cpu(), used)


def _decoded(
    task: GenerateTask, model: Model, report: Report, meter: Meter, latents: torch.Tensor
) -> tuple[tuple[str, ...], list[Image.Image]]:
    """The pictures of latents that another process has made, and by what mitigations."""
    sampled = Sampled(latents.to(model.device), _generators(task.recipe.params))
    with report.stage("decode"):
        return _decode(model, sampled, {}, task, task.recipe.mitigations, meter)


def _generators(params: ResolvedParams) -> list[torch.Generator]:
    # On the CPU whatever the device, so that a seed means the same everywhere.
    return [torch.Generator("cpu").manual_seed(params.seed + k) for k in range(params.num_images)]


def _sample(
    model: Model,
    encoded: dict[str, Any],
    task: GenerateTask,
    on_step: OnStep,
    meter: Meter,
    placed: contextlib.ExitStack,
    refusals: Refusals,
) -> tuple[tuple[str, ...], Found[Sampled]]:
    """The mitigations by now, and the latents. If memory runs out, it begins once more from the
    first step, after all that could be given back was, and in a more careful way if there is one.
    """
    params, planned = task.recipe.params, task.recipe.mitigations
    moved = offload.named(planned)

    def sample(names: tuple[str, ...], meter: Meter) -> Sampled:
        _bring_vae(names, model)
        with contextlib.ExitStack() as applied:
            if not model.stages.decodes:
                applied.enter_context(_decoding_by(names, model, params))
            applied.enter_context(meter.phase("denoise", list(encoded.values()), moved))
            return refusals.usual(
                lambda: model.stages.denoise(encoded, params, _generators(params), on_step)
            )

    pieces = mitigations.in_pieces(
        () if model.stages.decodes else mitigations.possible_on(model.pipeline, model.device),
        params.num_images,
    )
    ways = mitigations.ways_to_sample(
        planned, task.allowed, model.device, offload.possible(model.pipeline), pieces
    )

    def again() -> Sampled:
        more = offload_of(ways[-1])
        if more == offload_of(planned):
            return sample(ways[-1], meter)
        placed.close()
        placed.enter_context(offload.applied(model.pipeline, more, model.device))
        return sample(ways[-1], NoMeter())

    tries: list[Callable[[], Sampled]] = [functools.partial(sample, planned, meter), again]
    found = recovery.first_that_fits(
        "denoise",
        model.device,
        tries[: len(ways)],
        alike=True,
        leave=task.allowed == "auto",
    )
    return ways[found.place], found


def _decode(
    model: Model,
    sampled: Sampled,
    encoded: dict[str, Any],
    task: GenerateTask,
    used: tuple[str, ...],
    meter: Meter,
) -> tuple[tuple[str, ...], list[Image.Image]]:
    """The pictures, from latents that are kept until they are there; and by what mitigations, with
    those that were `used` before."""
    params, device = task.recipe.params, model.device
    possible = mitigations.possible_on(model.pipeline, device)
    ways = mitigations.ways(used, task.allowed, params.num_images, possible)

    def decode(names: tuple[str, ...]) -> list[Image.Image]:
        _bring_vae(names, model)
        with (
            meter.phase("vae_decode", list(encoded.values()), names),
            _decoding_by(names, model, params),
        ):
            return Refusals(device).usual(lambda: model.stages.decode(sampled))

    tries = [functools.partial(decode, names) for names in ways]
    found = recovery.first_that_fits("decode", device, tries)
    return ways[found.place], found.result


def _bring_vae(names: tuple[str, ...], model: Model) -> None:
    """Have the VAE on the device, if it belongs there with these mitigations and was left in system
    memory for want of room. A pipeline computes where its VAE lies."""
    vae = getattr(model.pipeline, "vae", None)
    if vae is None or "vae_cpu" in names or offload_of(names) is not None:
        return
    if vae.device.type != model.device.type:
        offload.put(vae, vae.dtype, model.device)


def _decoding_by(
    names: tuple[str, ...], model: Model, params: ResolvedParams
) -> AbstractContextManager[None]:
    """Have the VAE decode with these mitigations."""
    if not without_offload(names):
        return contextlib.nullcontext()
    return mitigations.applied(model.pipeline.vae, names, max(params.width, params.height))


def _on_step(
    model: Model, report: Report, task: GenerateTask, meter: Meter, refusals: Refusals
) -> OnStep:
    previewer, shown = model.previewer, task.only_index or 0

    def on_step(step: int, steps: int, latents: torch.Tensor) -> None:
        meter.step(step)
        report.step("denoise", step, steps)
        if not report.wants_previews or step == steps:
            return
        # To fit them takes the VAE, for which the denoiser would have to leave the device.
        if previewer.is_fitted or not offload.is_applied(model.pipeline):
            with meter.apart(), refusals.apart():
                webp = previewer.webp(latents, shown)
            if webp is not None:
                report.emit(Previewed(step=step, webp=webp))

    return on_step
