"""Rows of pictures without files, for tests of what stands on the store."""

from __future__ import annotations

from datetime import UTC, datetime

from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.images import FileRecord
from mysticanvas.contracts.recipe import Recipe, ResolvedParams
from mysticanvas.store import NewImage, Store


def add(store: Store, *prompts: str) -> None:
    """Record a picture for each prompt, in that order."""
    images = []
    for prompt in prompts:
        params = ResolvedParams(
            prompt=prompt, width=16, height=8, num_inference_steps=4, guidance_scale=3.0, seed=7,
            scheduler="DDIMScheduler",
        )  # fmt: skip
        image = NewImage(
            id=new_id(),
            job_id=new_id(),
            batch_index=0,
            project="default",
            recipe=Recipe(preset="tiny", pipeline="P", params=params, model_files={}),
            mode="RGB",
            pixels_sha256="a",
            file=FileRecord(path="images/a.png", sha256="a", bytes=1, width=16, height=8),
            created_at=datetime.now(UTC),
        )
        images.append(image)
    store.images.add(images)
