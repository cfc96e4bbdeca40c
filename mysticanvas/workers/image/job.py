"""One generation from start to end, on a pipeline that is loaded."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image

from mysticanvas.contracts.recipe import Environment, ResolvedParams
from mysticanvas.contracts.worker import GenerateTask, Previewed
from mysticanvas.workers import pictures
from mysticanvas.workers.image import mitigations, recovery, schedulers
from mysticanvas.workers.image.measuring import Meter, NoMeter
from mysticanvas.workers.image.previews import Previewer
from mysticanvas.workers.image.stages import OnStep, Sampled, Stages
from mysticanvas.workers.report import Report


class Model(NamedTuple):
    """A pipeline on its device, and what belongs to it."""

    pipeline: Any
    stages: Stages
    previewer: Previewer
    environment: Environment


def run(task: GenerateTask, model: Model, folder: Path, report: Report, meter: Meter) -> None:
    """Make the pictures of a task and write them below `folder`.

    Args:
        meter: measures what the phases take.

    Raises:
        JobCancelled: between two steps.
        InvalidRequest: the scheduler, the ids or the index do not suit.
        StoreFull: no space for a file.
    """
    pictures.require_ids(task)
    params = task.recipe.params
    with torch.inference_mode():
        # Where one call does it all, it counts as denoising.
        around = NoMeter() if model.stages.whole else meter
        with report.stage("encode"), around.phase("text_encode"):
            encoded = model.stages.encode(params)
        with report.stage("denoise"), schedulers.applied(model.pipeline, params):
            on_step = _on_step(model.previewer, report, task.only_index or 0, meter)
            sampled = _sample(model, encoded, params, on_step, meter)
        with report.stage("decode"):
            used, images = _decode(model, sampled, encoded, task, around)
    recipe = task.recipe.model_copy(update={"mitigations": used})
    task = task.model_copy(update={"recipe": recipe})
    with report.stage("save"):
        for index, image in enumerate(images):
            if task.only_index in (None, index):
                report.emit(pictures.made(task, index, image, model.environment, folder))


def _sample(
    model: Model, encoded: dict[str, Any], params: ResolvedParams, on_step: OnStep, meter: Meter
) -> Sampled:
    """The latents; if memory runs out, once more from the first step, after all that could be given
    back was."""

    def sample() -> Sampled:
        # On the CPU whatever the device, so that a seed means the same everywhere.
        generators = [
            torch.Generator("cpu").manual_seed(params.seed + k) for k in range(params.num_images)
        ]
        with meter.phase("denoise", list(encoded.values())):
            return model.stages.denoise(encoded, params, generators, on_step)

    return recovery.first_that_fits("denoise", model.pipeline.device, [sample, sample])[1]


def _decode(
    model: Model, sampled: Sampled, encoded: dict[str, Any], task: GenerateTask, meter: Meter
) -> tuple[tuple[str, ...], list[Image.Image]]:
    """The pictures, from latents that are kept until they are there; and by what mitigations."""
    params, device = task.recipe.params, model.pipeline.device
    ways = mitigations.ways(
        task.recipe.mitigations, task.allowed, params.num_images, device.type == "cpu"
    )

    def decode(names: tuple[str, ...]) -> list[Image.Image]:
        with meter.phase("vae_decode", list(encoded.values()), names):
            if not names:
                return model.stages.decode(sampled)
            with mitigations.applied(model.pipeline.vae, names, max(params.width, params.height)):
                return model.stages.decode(sampled)

    tries = [functools.partial(decode, names) for names in ways]
    place, images = recovery.first_that_fits("decode", device, tries)
    return ways[place], images


def _on_step(previewer: Previewer, report: Report, shown: int, meter: Meter) -> OnStep:
    def on_step(step: int, steps: int, latents: torch.Tensor) -> None:
        meter.step(step)
        report.step("denoise", step, steps)
        if report.wants_previews and step < steps:
            with meter.apart():
                webp = previewer.webp(latents, shown)
            if webp is not None:
                report.emit(Previewed(step=step, webp=webp))

    return on_step
