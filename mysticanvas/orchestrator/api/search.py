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
        cards = store.images.cards(found.seqs)
        score = dict(zip(found.seqs, found.scores, strict=True))
        return SearchPage(
            items=cards,
            # One that was deleted since it was found is left out, with its score.
            scores=[score[card.seq] for card in cards],
            next_cursor=found.next_cursor,
            total=found.total,
        )

    return router
