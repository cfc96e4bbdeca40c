"""The filters of a request, out of its query: `?tags=castle&tags=noir&starred=true`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from mysticanvas.contracts.filters import ImageFilters


# On the event loop: what does nothing is not worth a thread, which costs as much as a query.
async def _of_query(query: Annotated[ImageFilters, Query()]) -> ImageFilters:
    return query


# A dependency, since FastAPI takes a model for the query only where it stands alone.
Filters = Annotated[ImageFilters, Depends(_of_query)]
