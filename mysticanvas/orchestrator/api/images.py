"""`/v1/images`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mysticanvas.contracts.images import ImagePage, ImageRecord
from mysticanvas.store import Store


def routes(store: Store) -> APIRouter:
    router = APIRouter(prefix="/v1/images", tags=["images"])

    @router.get("")
    def page(
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        cursor: str | None = None,
        project: str | None = None,
        job: str | None = None,
        recipe_hash: str | None = None,
    ) -> ImagePage:
        """A page of pictures, newest first."""
        return store.images.page(
            limit, cursor=cursor, project=project, job=job, recipe_hash=recipe_hash
        )

    @router.get("/{image_id}")
    def get_image(image_id: str, project: str | None = None) -> ImageRecord:
        """A picture by its id, or by an unambiguous head or tail of it."""
        return store.images.find(image_id, project)

    return router
