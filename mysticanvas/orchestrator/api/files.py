"""Thumbnails, deleting, pruning and the doctor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Body, Response

from mysticanvas.contracts.doctor import Diagnosis
from mysticanvas.contracts.images import ImageRecord
from mysticanvas.contracts.plugins import PluginRecord
from mysticanvas.contracts.prune import PruneReport, PruneRequest
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator import doctor
from mysticanvas.orchestrator.api.system import Done
from mysticanvas.orchestrator.files import deleting
from mysticanvas.orchestrator.files.prune import prune
from mysticanvas.orchestrator.files.thumbnails import Thumbnails
from mysticanvas.settings import Settings
from mysticanvas.store import Store


class WebP(Response):
    """A picture."""

    media_type = "image/webp"


def routes(
    store: Store,
    paths: HomePaths,
    settings: Settings,
    thumbnails: Thumbnails,
    plugins: Sequence[PluginRecord],
) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["files"])

    @router.get("/images/{image_id}/thumbnail", response_class=WebP)
    def thumbnail(image_id: str, size: int = 256) -> Response:
        """A thumbnail as a WebP file, made now if it is missing."""
        return WebP(thumbnails.get(image_id, size))

    @router.delete("/images/{image_id}")
    def delete_image(image_id: str) -> Done:
        """Delete a picture by its whole id; once more changes nothing."""
        deleting.delete(store, paths.images, image_id)
        return Done()

    @router.post("/images/{image_id}/restore")
    def restore_image(image_id: str) -> ImageRecord:
        """Bring a deleted picture back, while its files are there."""
        deleting.restore(store, paths.images, image_id)
        return store.images.get(image_id)

    @router.post("/images/prune")
    def prune_images(request: PruneRequest) -> PruneReport:
        """Remove many pictures for good; a dry run unless told otherwise."""
        return prune(store, paths, request)

    @router.post("/doctor")
    def examine(repair: Annotated[bool, Body(embed=True)] = False) -> Diagnosis:
        """Look whether everything is in order, and mend what can be mended if asked to."""
        home = doctor.Home(paths, settings, store, plugins=plugins)
        return doctor.examine(home, repair)

    return router
