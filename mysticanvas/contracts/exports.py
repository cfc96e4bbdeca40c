"""An export: pictures and all that is known of them, for other programs to read."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.paths import FilePath

MAX_IDS = 20_000
"""Pictures that can be named one by one; the request has to fit its limit."""


class ExportParams(Contract):
    """What a job of the kind `export` does: all to a new folder, or to a new `.zip`."""

    path: FilePath
    """Absolute."""
    project: str | None = None
    """Only the pictures of this project; None for all."""
    ids: Annotated[list[str], Field(max_length=MAX_IDS)] | None = None
    """Only these pictures, by their whole ids; None for all."""


class ExportReport(Contract):
    """What became of it."""

    path: str
    images: int
    bytes: int
    """Of the picture files."""
    missing: list[str] = []
    """Paths of pictures whose file is gone, below the home; their rows are there all the same."""
