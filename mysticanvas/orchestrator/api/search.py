"""`/v1/search`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mysticanvas.contracts.search import SearchPage, SearchRequest
from mysticanvas.store import Store


def routes(store: Store) -> APIRouter:
    router = APIRouter(prefix="/v1/search", tags=["images"])

    @router.get("")
    def search(request: Annotated[SearchRequest, Query()]) -> SearchPage:
        """A page of pictures by their words, best first."""
        found = store.search.search(request.text, request.limit, request.cursor, request.filters)
        images = {image.seq: image for image in store.images.of_seqs(found.seqs)}
        # One that was deleted since it was found is left out, with its score.
        present = [
            (images[seq], score)
            for seq, score in zip(found.seqs, found.scores, strict=True)
            if seq in images
        ]
        return SearchPage(
            items=[image for image, _ in present],
            scores=[score for _, score in present],
            next_cursor=found.next_cursor,
            total=found.total,
        )

    return router
