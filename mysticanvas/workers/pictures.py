"""From a picture in memory to what a worker answers: the same for every engine."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from mysticanvas.contracts import picture
from mysticanvas.contracts.recipe import Environment, Recipe
from mysticanvas.contracts.worker import GenerateTask, Made
from mysticanvas.errors import InvalidRequest
from mysticanvas.workers import saving

_QUALITY = 75


def require_ids(task: GenerateTask) -> None:
    """See to it that a task has an id for each picture, and a picture for its index.

    Raises:
        InvalidRequest: it has not.
    """
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


def encode_webp(image: Image.Image) -> str:
    """A small WebP file, base64."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY, method=0)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def made(
    task: GenerateTask, index: int, image: Image.Image, environment: Environment, folder: Path
) -> Made:
    """Write picture `index` of a task below the images folder; the message that says so.

    Raises:
        StoreFull: no space for the file.
    """
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
