"""A query of `canvas.sql`; its answer is an Arrow IPC stream."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mysticanvas.contracts.base import Contract

ARROW = "application/vnd.apache.arrow.stream"
"""Media type of the answer."""

Scalar = bool | int | float | str | None
Parameter = Scalar | list[Scalar]
_MAX = 10_000


class SqlRequest(Contract):
    """Body of `POST /v1/sql`. Without a query, the answer describes the views."""

    query: str | None = None
    params: (
        Annotated[list[Parameter], Field(max_length=_MAX)]
        | Annotated[dict[str, Parameter], Field(max_length=_MAX)]
        | None
    ) = None
    """Values of `?` or `$1` by position, or of `$name` by name."""
