"""`/v1/tags`, and the tags of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from mysticanvas.contracts.tags import (
    MAX_NAMES,
    AliasRequest,
    BulkTagNames,
    ImageTagNames,
    MergeRequest,
    RenameRequest,
    TagAlias,
    TagOnImage,
    TagPage,
    TagRecord,
)
from mysticanvas.orchestrator.events import Bus
from mysticanvas.store import Store

_FEW = 20
"""Pictures that are told of one by one; for more, a listener does better to ask again."""
_Names = Annotated[list[str], Query(alias="name", min_length=1, max_length=MAX_NAMES)]


def routes(store: Store, bus: Bus) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["tags"])
    _of_images(router, _Given(store, bus))
    _of_the_vocabulary(router, store)
    return router


class _Given:
    """Gives pictures tags and takes them, and tells listeners."""

    def __init__(self, store: Store, bus: Bus) -> None:
        self._store = store
        self._bus = bus

    def of(self, image_id: str) -> list[TagOnImage]:
        [seq] = self._store.tags.seqs([image_id])
        return self._store.tags.of([seq]).get(seq, [])

    def add(self, ids: Sequence[str], names: Sequence[str]) -> None:
        self._store.tags.add(self._store.tags.seqs(ids), names, "user")
        self._tell(ids)

    def remove(self, ids: Sequence[str], names: Sequence[str]) -> None:
        self._store.tags.remove(self._store.tags.seqs(ids), names)
        self._tell(ids)

    def _tell(self, ids: Sequence[str]) -> None:
        if len(ids) <= _FEW:
            for image_id in ids:
                image = self._store.images.get(image_id)
                self._bus.publish("image", image.model_dump(mode="json"))


def _of_images(router: APIRouter, given: _Given) -> None:
    @router.get("/images/{image_id}/tags")
    def of_image(image_id: str) -> list[TagOnImage]:
        """The tags of a picture, by name, a row for everybody who says so."""
        return given.of(image_id)

    @router.put("/images/{image_id}/tags")
    def add_to_image(image_id: str, body: ImageTagNames) -> list[TagOnImage]:
        """Give a picture tags; what it has then."""
        given.add([image_id], body.names)
        return given.of(image_id)

    @router.delete("/images/{image_id}/tags")
    def remove_from_image(image_id: str, names: _Names) -> list[TagOnImage]:
        """Take tags from a picture, whoever gave them; what it has then."""
        given.remove([image_id], names)
        return given.of(image_id)

    @router.post("/tags/add")
    def add_to_images(body: BulkTagNames) -> None:
        """Give each of several pictures all of these tags."""
        given.add(body.ids, body.names)

    @router.post("/tags/remove")
    def remove_from_images(body: BulkTagNames) -> None:
        """Take these tags from several pictures."""
        given.remove(body.ids, body.names)


def _of_the_vocabulary(router: APIRouter, store: Store) -> None:
    @router.get("/tags")
    def page(
        q: str = "",
        name: str | None = None,
        project: str | None = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
        cursor: str | None = None,
        most_used: bool = False,
        unused: bool = False,
    ) -> TagPage:
        """Tags by name with the number of their pictures: those that start with `q`; those that
        no picture has; the most used; or the one that has this name or alias."""
        if name is not None:
            return TagPage(items=[store.tags.get(name, project)], total=1)
        return store.tags.page(
            q, project, limit=limit, cursor=cursor, most_used=most_used, unused=unused
        )

    @router.get("/tags/aliases")
    def aliases() -> list[TagAlias]:
        """All aliases, by name."""
        return list(store.tags.aliases())

    @router.post("/tags/aliases")
    def alias(body: AliasRequest) -> None:
        """Have a name lead to a tag, or to nothing again."""
        store.tags.alias(body.alias, body.tag)

    @router.post("/tags/rename")
    def rename(body: RenameRequest) -> TagRecord:
        """Give a tag another name; the old one becomes an alias."""
        store.tags.rename(body.old, body.new)
        return store.tags.get(body.new)

    @router.post("/tags/merge")
    def merge(body: MergeRequest) -> TagRecord:
        """Make two tags one; the name of the first becomes an alias."""
        store.tags.merge(body.tag, body.into)
        return store.tags.get(body.into)
