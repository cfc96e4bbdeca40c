"""`/v1/models`: what is on this machine."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter

from mysticanvas.contracts.models import FoundModel, ModelFolder, ModelKind
from mysticanvas.contracts.refusal import refused
from mysticanvas.orchestrator import library, parts
from mysticanvas.store import Store

MAX_FOLDERS = 100


def routes(store: Store) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["models"])

    @router.get("/models")
    def models(kind: ModelKind | None = None) -> list[FoundModel]:
        """The models in the folders that were added and in the cache of the hub."""
        return [each for each in library.everywhere(store) if kind in (None, each.kind)]

    @router.post("/models/folders")
    def add(body: ModelFolder) -> list[FoundModel]:
        """Look for models in a folder from now on; those that are there now."""
        known = library.folders(store)
        if not parts.exists(Path(body.path)) or not Path(body.path).is_dir():
            raise refused("folder", body.path, "the path of a folder")
        if body.path not in known:
            if len(known) >= MAX_FOLDERS:
                raise refused("folder", body.path, f"at most {MAX_FOLDERS} folders")
            store.facts.set(library.FOLDERS, [*known, body.path])
        return list(library.find(Path(body.path), body.path))

    return router
