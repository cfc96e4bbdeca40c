"""`/v1/search`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from mysticanvas.contracts.search import SearchPage, SearchSort
from mysticanvas.orchestrator.api.filters import Filters
from mysticanvas.store import Store


def routes(store: Store) -> APIRouter:
    router = APIRouter(prefix="/v1/search", tags=["images"])

    @router.get("", response_model=SearchPage)
    def search(
        filters: Filters,
        text: str = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        cursor: str | None = None,
        sort: SearchSort = "best",
    ) -> Response:
        """A page of pictures by their words; without any to rank by, the best are the newest."""
        found = store.search.search(text, limit, cursor, filters, sort)
        scores = dict(zip(found.seqs, found.scores, strict=True))
        # One that was deleted since it was found is left out, with its score.
        cards = store.images.cards(found.seqs)
        page = SearchPage(
            items=cards,
            scores=[scores[card.seq] for card in cards],
            next_cursor=found.next_cursor,
            total=found.total,
        )
        # Written at once: to check what we made ourselves takes longer than to find it.
        return Response(page.model_dump_json(), media_type="application/json")

    return router
