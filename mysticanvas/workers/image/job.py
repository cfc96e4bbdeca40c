"""One generation from start to end, on a pipeline that is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image

from mysticanvas.contracts import picture
from mysticanvas.contracts.recipe import Environment, Recipe
from mysticanvas.contracts.worker import GenerateTask, Made, Previewed
from mysticanvas.errors import InvalidRequest
from mysticanvas.workers.image import saving, schedulers
from mysticanvas.workers.image.previews import Previewer
from mysticanvas.workers.image.report import Report
from mysticanvas.workers.image.stages import OnStep, Stages


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
    _require_ids(task)
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
                report.emit(_made(task, index, image, model.environment, folder))


def _require_ids(task: GenerateTask) -> None:
    count = task.recipe.params.num_images
    if len(task.image_ids) != count:
        raise InvalidRequest(
            f"There are {len(task.image_ids)} image_ids for {count} pictures.",
            parameter="image_ids",
            value=str(len(task.image_ids)),
            allowed=str(count),
        )
    if task.only_index is not None and not 0 <= task.only_index < count:
        raise InvalidRequest(
            f"There is no picture {task.only_index} in a batch of {count}.",
            parameter="only_index",
            value=str(task.only_index),
            allowed=f"0 to {count - 1}",
        )


def _on_step(previewer: Previewer, report: Report, shown: int) -> OnStep:
    def on_step(step: int, steps: int, latents: torch.Tensor) -> None:
        report.step("denoise", step, steps)
        if report.wants_previews and step < steps:
            webp = previewer.webp(latents, shown)
            if webp is not None:
                report.emit(Previewed(step=step, webp=webp))

    return on_step


def _made(
    task: GenerateTask, index: int, image: Image.Image, environment: Environment, folder: Path
) -> Made:
    recipe = task.recipe.model_copy(update={"batch_index": index, "environment": environment})
    pixels = saving.pixels_sha256(image)
    file = None
    if pixels != task.unless_pixels:
        file = saving.save(folder, image, picture.chunks(_text(task, index, recipe, pixels)))
    return Made(
        image_id=task.image_ids[index],
        index=index,
        recipe=recipe,
        mode=image.mode,
        pixels_sha256=pixels,
        file=file,
    )


def _text(task: GenerateTask, index: int, recipe: Recipe, pixels: str) -> picture.PictureText:
    return picture.PictureText(
        image_id=task.image_ids[index],
        job_id=task.job_id,
        project=task.project,
        parent=task.parent,
        source=task.source,
        created_at=task.created_at,
        pixels_sha256=pixels,
        tags=task.tags,
        recipe=recipe,
    )
