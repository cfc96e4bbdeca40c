"""Pictures and their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mysticanvas.contracts.base import canonical_json, sha256_of
from mysticanvas.contracts.images import FileRecord, ImagePage, ImageRecord, Source
from mysticanvas.contracts.params import refused
from mysticanvas.contracts.recipe import Recipe
from mysticanvas.store import cursors, parts, queries, tags, times
from mysticanvas.store.connection import Database, Row, Transaction

MAX_PAGE = 1000
_SQL = queries.load("images")
_TOP = 2**63 - 1


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


class Images:
    """Pictures, newest first. Deleted ones are not there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, images: Sequence[NewImage]) -> None:
        """Record pictures that no job is waiting for, in the given order.

        Raises:
            StoreError: one of them cannot be recorded, such as a known one; none was.
        """
        with self._database.write() as transaction:
            insert(transaction, images)

    def get(self, image_id: str) -> ImageRecord:
        """The picture with that id.

        Raises:
            NotFound: there is none.
        """
        full = parts.full_id(image_id)
        found = self._pick("by_id", id=full) if full else []
        if not found:
            raise parts.not_found("image", image_id)
        return found[0]

    def find(self, part: str, project: str | None = None) -> ImageRecord:
        """The picture with that id, or with that head or tail of an id.

        Args:
            part: a whole id, or 4 characters or more.
            project: look among its pictures only, if it is a part.

        Raises:
            NotFound: there is none.
            InvalidRequest: there are several.
        """
        if parts.full_id(part):
            return self.get(part)
        wanted = parts.searchable("image", part)
        found = self._database.read(_SQL["by_part"], part=wanted, project=project)
        return self.get(parts.only("image", part, [row["id"] for row in found]))

    def page(
        self,
        limit: int = 50,
        cursor: str | None = None,
        project: str | None = None,
        job: str | None = None,
        recipe_hash: str | None = None,
    ) -> ImagePage:
        """A page of pictures. Those recorded meanwhile do not shift the pages that follow.

        Args:
            limit: 1 to 1000 pictures.
            cursor: `next_cursor` of the page before, of the same filters.
            project, job, recipe_hash: only pictures that have it.

        Raises:
            InvalidRequest: an argument is not allowed.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise refused("limit", limit, f"1 to {MAX_PAGE}")
        if job is not None and not parts.full_id(job):
            raise refused("job", job, "the whole id of a job")
        filters = {"project": project, "job": job, "recipe_hash": recipe_hash}
        before = _TOP if cursor is None else cursors.decode(cursor, filters)
        total = self._database.read(_SQL["total"], **filters)[0]["total"]
        items = self._pick("page", before=before, limit=limit + 1, **filters)
        more = len(items) > limit
        return ImagePage(
            items=items[:limit],
            next_cursor=cursors.encode(items[limit - 1].seq, filters) if more else None,
            total=total,
        )

    def of_job(self, job_id: str) -> list[ImageRecord]:
        """The pictures that a job made, in batch order."""
        return self.of_jobs([job_id]).get(job_id, [])

    def of_jobs(self, job_ids: Sequence[str]) -> dict[str, list[ImageRecord]]:
        """The pictures of several jobs, each in batch order; jobs without any are left out."""
        found: dict[str, list[ImageRecord]] = {}
        for image in self._pick("by_jobs", jobs=list(job_ids)) if job_ids else []:
            found.setdefault(image.job_id, []).append(image)
        for batch in found.values():
            batch.sort(key=lambda image: image.batch_index)
        return found

    def of_seqs(self, seqs: Sequence[int]) -> list[ImageRecord]:
        """The pictures at these places in the order of recording, as far as they are there."""
        return self._pick("by_seqs", seqs=list(seqs)) if seqs else []

    def by_request(self, request_hash: str, project: str | None = None) -> list[ImageRecord]:
        """The newest complete batch that a request made, in batch order; empty if there is none."""
        batch = self._pick("by_request", request_hash=request_hash, project=project)
        return sorted(batch, key=lambda image: image.batch_index)

    def known(self, image_ids: Sequence[str]) -> set[str]:
        """Which of these ids are taken, by deleted pictures too."""
        found = self._database.read(_SQL["known"], ids=list(image_ids))
        return {row["id"] for row in found}

    def _pick(self, query: str, **parameters: object) -> list[ImageRecord]:
        sql = _SQL["records"].format(picked=_SQL[query])
        return [_record(row) for row in self._database.read(sql, **parameters)]


def insert(transaction: Transaction, images: Sequence[NewImage]) -> list[ImageRecord]:
    """Record pictures and their files, in the given order; as they will be read."""
    if not images:
        return []
    last = transaction.run(_SQL["last_seq"])[0]["seq"]
    rows = [_row(image, last + place) for place, image in enumerate(images, 1)]
    files = [_file_row(image, row["seq"]) for image, row in zip(images, rows, strict=True)]
    transaction.run(_SQL["insert"], **_columns(rows))
    transaction.run(_SQL["insert_files"], **_columns(files))
    tagged = [(row["seq"], image.tags) for row, image in zip(rows, images, strict=True)]
    tags.attach(transaction, tagged, "user")
    return [
        _record(row | {f"file_{name}": value for name, value in file.items()})
        for row, file in zip(rows, files, strict=True)
    ]


def _columns(rows: Sequence[Row]) -> dict[str, object]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def _row(image: NewImage, seq: int) -> Row:
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
        "model_digest": sha256_of(recipe.model_files),
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
        "created_at": times.to_db(image.created_at),
    }


def _file_row(image: NewImage, seq: int) -> Row:
    return {
        "image_id": image.id,
        "image_seq": seq,
        **image.file.model_dump(),
        "created_at": times.to_db(image.created_at),
    }


def _record(row: Row) -> ImageRecord:
    return ImageRecord(
        id=str(row["id"]),
        seq=row["seq"],
        job_id=str(row["job_id"]),
        batch_index=row["batch_index"],
        project=row["project"],
        parent=None if row["parent"] is None else str(row["parent"]),
        source=row["source"],
        prompt=row["prompt"],
        width=row["width"],
        height=row["height"],
        mode=row["mode"],
        seed=row["seed"],
        preset=row["preset"],
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
