"""`/v1/images`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from mysticanvas.contracts.filters import MAX_IDS, Sort
from mysticanvas.contracts.images import ImageChanges, ImageCount, ImagePage, ImageRecord
from mysticanvas.orchestrator.api.filters import Filters
from mysticanvas.orchestrator.events import Bus
from mysticanvas.store import Store


def routes(store: Store, bus: Bus) -> APIRouter:
    router = APIRouter(prefix="/v1/images", tags=["images"])

    @router.get("", response_model=ImagePage)
    def page(
        filters: Filters,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        cursor: str | None = None,
        sort: Sort = "newest",
    ) -> Response:
        """A page of pictures in the order of their recording."""
        found = store.images.page(limit, cursor, filters, sort)
        # Written at once: to check what we made ourselves takes longer than to find it.
        return Response(found.model_dump_json(), media_type="application/json")

    @router.get("/count")
    def count(filters: Filters) -> ImageCount:
        """How many pictures meet the filters."""
        return ImageCount(total=store.images.count(filters))

    @router.get("/details")
    def details(
        ids: Annotated[list[str], Query(min_length=1, max_length=MAX_IDS)],
    ) -> list[ImageRecord]:
        """The pictures with these whole ids, as far as they are there."""
        return store.images.details(ids)

    @router.get("/{image_id}")
    def get_image(image_id: str, project: str | None = None) -> ImageRecord:
        """A picture by its id, or by an unambiguous head or tail of it."""
        return store.images.find(image_id, project)

    @router.patch("/{image_id}")
    def change(image_id: str, changes: ImageChanges) -> ImageRecord:
        """Star or rate a picture, by its whole id."""
        changed = store.images.change(image_id, changes)
        bus.publish("image", changed.model_dump(mode="json"))
        return changed

    return router
