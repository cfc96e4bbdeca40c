"""Tasks for an image worker, as the orchestrator would write them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.model_files import HashedFile
from mysticanvas.contracts.recipe import Recipe, ResolvedParams
from mysticanvas.contracts.worker import GenerateTask, ModelRef

PIPELINES = {"sd": "StableDiffusionPipeline", "sdxl": "StableDiffusionXLPipeline"}
_PARAMS: dict[str, Any] = {
    "prompt": "a red circle above a blue square",
    "width": 64,
    "height": 64,
    "num_inference_steps": 3,
    "guidance_scale": 3.0,
    "seed": 7,
    "scheduler": "DDIMScheduler",
}


def hashed(path: Path) -> HashedFile:
    """A file as it is now, as the orchestrator would tell a worker."""
    looks, digest = path.stat(), hashlib.sha256(path.read_bytes()).hexdigest()
    return HashedFile(
        path=str(path),
        sha256=digest,
        size=looks.st_size,
        mtime_ns=looks.st_mtime_ns,
        inode=looks.st_ino,
    )


@contextlib.contextmanager
def as_it_comes(_task: object, ready: Callable[[], object], _stopped: object) -> Iterator[None]:
    """Runs a job without making room for it."""
    ready()
    yield


def with_loras(task: GenerateTask, loras: dict[Path, float]) -> GenerateTask:
    """The task with LoRAs, as the orchestrator would put them into it."""
    by_content = sorted(
        (hashlib.sha256(path.read_bytes()).hexdigest(), path, weight)
        for path, weight in loras.items()
    )
    roles = [f"lora_{number}" for number in range(1, len(by_content) + 1)]
    files = {
        f"{role}.safetensors": sha for role, (sha, _, _) in zip(roles, by_content, strict=True)
    }
    weights = {role: each for role, (_, _, each) in zip(roles, by_content, strict=True)}
    names = {str(path): role for role, (_, path, _) in zip(roles, by_content, strict=True)}
    recipe = task.recipe.model_copy(
        update={
            "params": task.recipe.params.model_copy(update={"loras": weights}),
            "model_files": {**task.recipe.model_files, **files},
            "loras": names,
        }
    )
    paths = tuple(str(path) for _, path, _ in by_content)
    every = (*task.model.hashed, *(hashed(Path(path)) for path in paths))
    model = task.model.model_copy(update={"loras": paths, "hashed": every})
    return task.model_copy(update={"recipe": recipe, "model": model})


def make_task(folder: Path, *, task: dict[str, Any] | None = None, **params: Any) -> GenerateTask:
    """A task on the model in `folder`, which is named `sd` or `sdxl`.

    Args:
        task: members of the task itself, such as `only_index`.
        params: resolved parameters that differ from the usual.
    """
    resolved = ResolvedParams(**{**_PARAMS, **params})
    members: dict[str, Any] = {
        "job_id": new_id(),
        "attempt": 1,
        "image_ids": [new_id() for _ in range(resolved.num_images)],
        "model": ModelRef(path=str(folder), digest=f"digest of {folder}"),
        "recipe": Recipe(
            preset="tiny",
            pipeline=PIPELINES.get(folder.name, folder.name),
            params=resolved,
            model_files={"unet/diffusion_pytorch_model.safetensors": "ab" * 32},
        ),
        "project": "default",
        "created_at": datetime.now(UTC),
    }
    return GenerateTask(**{**members, **(task or {})})
