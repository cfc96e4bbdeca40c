"""Pictures as they cross a process boundary."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.recipe import Recipe

FileKind = Literal["original"]
Source = Literal["generate", "reproduce"]
"""What kind of call made a picture."""


class FileRecord(Contract):
    """A file of a picture. `path` is relative to the home directory, with forward slashes."""

    kind: FileKind = "original"
    path: str
    sha256: str
    bytes: int
    width: int
    height: int


class ImageRecord(Contract):
    """A picture as the store knows it."""

    id: str
    seq: int
    """Position in the order of recording; pages follow it."""
    job_id: str
    batch_index: int
    project: str
    parent: str | None = None
    """The picture that this one was made from."""
    source: Source = "generate"
    prompt: str
    width: int
    height: int
    mode: str = "RGB"
    seed: int
    preset: str
    request_hash: str
    recipe_hash: str
    pixels_sha256: str
    recipe: Recipe
    file: FileRecord
    created_at: datetime


class ImagePage(Contract):
    """One page of pictures, newest first."""

    items: list[ImageRecord]
    next_cursor: str | None = None
    total: int
