"""Jobs and pictures for a store, each different from those before."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime, timedelta
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mysticanvas.contracts import ids, picture
from mysticanvas.contracts.base import sha256_of
from mysticanvas.contracts.images import FileRecord
from mysticanvas.contracts.jobs import JobRecord, JobStatus
from mysticanvas.contracts.recipe import Environment, Recipe, ResolvedParams
from mysticanvas.contracts.worker import GenerateTask, ModelRef
from mysticanvas.home import HomePaths
from mysticanvas.store import NewImage, Store, StoredJob

START = datetime(2026, 5, 4, 3, 2, 1, 987654, tzinfo=UTC)
MODEL = ModelRef(path="/models/tiny", digest=sha256_of({"unet/model.safetensors": "ab" * 32}))


class Maker:
    """Makes jobs and pictures, each different from those before."""

    def __init__(self) -> None:
        self._count = 0

    def recipe(self, *, index: int = 0, **params: Any) -> Recipe:
        given: dict[str, Any] = {
            "prompt": "a red circle above a blue square",
            "width": 16,
            "height": 8,
            "num_inference_steps": 4,
            "guidance_scale": 3.5,
            "seed": 7,
            "scheduler": "DDIMScheduler",
        }
        return Recipe(
            preset="tiny",
            pipeline="StableDiffusionPipeline",
            params=ResolvedParams(**given | params),
            model_files={"unet/model.safetensors": "ab" * 32},
            batch_index=index,
            environment=Environment(
                device="cpu", dtype="float32", threads=2, versions={"torch": "2"}
            ),
        )

    def job(self, **changes: Any) -> JobRecord:
        recipe = self.recipe()
        given: dict[str, Any] = {
            "id": ids.new_id(),
            "kind": "generate",
            "status": JobStatus.QUEUED,
            "project": "default",
            "priority": "interactive",
            "request_hash": recipe.request_hash,
            "prompt": recipe.params.prompt,
            "request_id": "req-1",
            "created_at": self.moment(),
            "notices": ["The starter draws shapes."],
        }
        return JobRecord(**given | changes)

    def task(self, record: JobRecord, recipe: Recipe | None = None) -> GenerateTask:
        recipe = recipe or self.recipe()
        return GenerateTask(
            job_id=record.id,
            attempt=0,
            image_ids=[ids.new_id() for _ in range(recipe.params.num_images)],
            model=MODEL,
            recipe=recipe,
            project=record.project,
            created_at=record.created_at,
        )

    def added(self, store: Store, **changes: Any) -> StoredJob:
        record = self.job(**changes)
        return store.jobs.add(record, "{}", self.task(record))[0]

    def image(self, job_id: str, recipe: Recipe | None = None, **changes: Any) -> NewImage:
        recipe = recipe or self.recipe()
        digest = hashlib.sha256(str(self.next()).encode()).hexdigest()
        given: dict[str, Any] = {
            "id": ids.new_id(),
            "job_id": job_id,
            "batch_index": recipe.batch_index,
            "project": "default",
            "recipe": recipe,
            "mode": "RGB",
            "pixels_sha256": digest,
            "file": FileRecord(
                path=f"images/{digest[:2]}/{digest}.png",
                sha256=digest,
                bytes=123,
                width=recipe.params.width,
                height=recipe.params.height,
            ),
            "created_at": self.moment(),
        }
        return NewImage(**given | changes)

    def batch(self, job_id: str, size: int, **params: Any) -> list[NewImage]:
        recipes = [self.recipe(index=k, num_images=size, **params) for k in range(size)]
        return [self.image(job_id, recipe) for recipe in recipes]

    def recorded(self, store: Store, size: int = 1, project: str = "default") -> JobRecord:
        """A job that has succeeded, with its pictures."""
        self.added(store, project=project)
        claimed = store.jobs.claim()
        assert claimed is not None
        job_id = claimed.record.id
        made = [
            self.image(job_id, self.recipe(index=k, num_images=size), project=project)
            for k in range(size)
        ]
        record = store.jobs.succeed(job_id, claimed.record.attempts, made)
        assert record is not None
        return record

    def png(self, paths: HomePaths, image: NewImage) -> NewImage:
        """Write the picture's file as a worker does; the picture, with its real file."""
        text = picture.PictureText(
            image_id=image.id,
            job_id=image.job_id,
            project=image.project,
            parent=image.parent,
            source=image.source,
            created_at=image.created_at,
            pixels_sha256=image.pixels_sha256,
            tags=list(image.tags),
            recipe=image.recipe,
        )
        info = PngInfo()
        for keyword, value in picture.chunks(text).items():
            info.add_itxt(keyword, value)
        size = (image.file.width, image.file.height)
        buffer = io.BytesIO()
        Image.new("RGB", size, (self.next() % 256, 0, 0)).save(buffer, "PNG", pnginfo=info)
        content = buffer.getvalue()
        digest = hashlib.sha256(content).hexdigest()
        path = paths.images / digest[:2] / f"{digest}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        file = image.file.model_copy(
            update={
                "path": path.relative_to(paths.root).as_posix(),
                "sha256": digest,
                "bytes": len(content),
            }
        )
        values = {name: getattr(image, name) for name in image.__slots__}
        return NewImage(**values | {"file": file})

    def moment(self) -> datetime:
        return START + timedelta(seconds=self.next())

    def next(self) -> int:
        self._count += 1
        return self._count
