"""One generation from start to end, on a pipeline that is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch

from mysticanvas.contracts.recipe import Environment
from mysticanvas.contracts.worker import GenerateTask, Previewed
from mysticanvas.workers import pictures
from mysticanvas.workers.image import schedulers
from mysticanvas.workers.image.previews import Previewer
from mysticanvas.workers.image.stages import OnStep, Stages
from mysticanvas.workers.report import Report


class Model(NamedTuple):
    """A pipeline on its device, and what belongs to it."""

    pipeline: Any
    stages: Stages
    previewer: Previewer
    environment: Environment


def run(task: GenerateTask, model: Model, folder: Path, report: Report) -> None:
    """Make the pictures of a task and write them below `folder`.

    Raises:
        JobCancelled: between two steps.
        InvalidRequest: the scheduler, the ids or the index do not suit.
        StoreFull: no space for a file.
    """
    pictures.require_ids(task)
    params = task.recipe.params
    # On the CPU whatever the device, so that a seed means the same everywhere.
    generators = [
        torch.Generator("cpu").manual_seed(params.seed + k) for k in range(params.num_images)
    ]
    with torch.inference_mode():
        with report.stage("encode"):
            encoded = model.stages.encode(params)
        with report.stage("denoise"), schedulers.applied(model.pipeline, params):
            on_step = _on_step(model.previewer, report, task.only_index or 0)
            sampled = model.stages.denoise(encoded, params, generators, on_step)
        with report.stage("decode"):
            images = model.stages.decode(sampled)
    with report.stage("save"):
        for index, image in enumerate(images):
            if task.only_index in (None, index):
                report.emit(pictures.made(task, index, image, model.environment, folder))


def _on_step(previewer: Previewer, report: Report, shown: int) -> OnStep:
    def on_step(step: int, steps: int, latents: torch.Tensor) -> None:
        report.step("denoise", step, steps)
        if report.wants_previews and step < steps:
            webp = previewer.webp(latents, shown)
            if webp is not None:
                report.emit(Previewed(step=step, webp=webp))

    return on_step
