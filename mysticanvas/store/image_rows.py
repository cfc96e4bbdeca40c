"""Pictures as rows of their tables, and rows as pictures."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import datetime

from mysticanvas.contracts.base import canonical_json, sha256_of
from mysticanvas.contracts.images import FileRecord, ImageRecord, Source
from mysticanvas.contracts.recipe import Recipe
from mysticanvas.store import times
from mysticanvas.store.connection import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """A picture to record: all that is known of it but its place in the order of recording."""

    id: str
    job_id: str
    batch_index: int
    project: str
    recipe: Recipe
    mode: str
    pixels_sha256: str
    file: FileRecord
    created_at: datetime
    parent: str | None = None
    source: Source = "generate"
    tags: tuple[str, ...] = ()
    """Names that the user gives it."""
    deleted_at: datetime | None = None
    """As the database keeps it."""


UNTOUCHED = {"style": None, "caption": None, "rating": None}
"""What a new picture has in the columns that come later."""


def row(image: NewImage, seq: int) -> Row:
    """That of a picture at a place in the order of recording."""
    recipe, params = image.recipe, image.recipe.params
    return {
        "id": image.id,
        "seq": seq,
        "job_id": image.job_id,
        "batch_index": image.batch_index,
        "batch_size": params.num_images,
        "project": image.project,
        "parent": image.parent,
        "source": image.source,
        "prompt": params.prompt,
        "negative_prompt": params.negative_prompt,
        "preset": recipe.preset,
        "model_digest": _digest(tuple(recipe.model_files.items())),
        "pipeline": recipe.pipeline,
        "seed": recipe.seed,
        "width": image.file.width,
        "height": image.file.height,
        "mode": image.mode,
        "num_inference_steps": params.num_inference_steps,
        "guidance_scale": params.guidance_scale,
        "scheduler": params.scheduler,
        "request_hash": recipe.request_hash,
        "recipe_hash": recipe.hash,
        "pixels_sha256": image.pixels_sha256,
        "recipe": canonical_json(recipe.model_dump(mode="json")),
        "starred": False,
        "created_at": times.to_db(image.created_at),
        "path": image.file.path,
    }


@functools.lru_cache(maxsize=64)
def _digest(model_files: tuple[tuple[str, str], ...]) -> str:
    return sha256_of(dict(model_files))


def file_row(image: NewImage, seq: int) -> Row:
    """That of its file."""
    return {
        "image_id": image.id,
        "image_seq": seq,
        "position": 0,
        **image.file.model_dump(),
        "created_at": times.to_db(image.created_at),
    }


def record(row: Row) -> ImageRecord:
    """The picture of a row that has the columns of its file, too, as `file_…`."""
    return ImageRecord(
        id=row["id"],
        seq=row["seq"],
        job_id=row["job_id"],
        batch_index=row["batch_index"],
        project=row["project"],
        parent=row["parent"],
        source=row["source"],
        prompt=row["prompt"],
        width=row["width"],
        height=row["height"],
        mode=row["mode"],
        seed=row["seed"],
        preset=row["preset"],
        style=row["style"],
        caption=row["caption"],
        starred=row["starred"],
        rating=row["rating"],
        request_hash=row["request_hash"],
        recipe_hash=row["recipe_hash"],
        pixels_sha256=row["pixels_sha256"],
        recipe=Recipe.model_validate_json(row["recipe"]),
        file=FileRecord(
            path=row["file_path"],
            sha256=row["file_sha256"],
            bytes=row["file_bytes"],
            width=row["file_width"],
            height=row["file_height"],
        ),
        created_at=times.from_db(row["created_at"]),
    )
