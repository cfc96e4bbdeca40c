"""`POST /v1/sql`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from mysticanvas.contracts.sql import ARROW, SqlRequest
from mysticanvas.store.sql import Sql

_CHUNK_BYTES = 1 << 20


def routes(sql: Sql) -> APIRouter:
    router = APIRouter(prefix="/v1/sql", tags=["sql"])

    @router.post("", response_class=StreamingResponse, responses={200: {"content": {ARROW: {}}}})
    def run(request: SqlRequest) -> StreamingResponse:
        """The result of one SELECT over the views, as an Arrow IPC stream."""
        return StreamingResponse(_chunks(sql.run(request)), media_type=ARROW)

    return router


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
