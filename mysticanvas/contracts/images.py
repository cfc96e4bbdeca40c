"""Pictures as they cross a process boundary."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, Strict

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.recipe import Recipe

FileKind = Literal["original", "thumbnail_256", "thumbnail_512", "preview", "mask", "init"]
"""`preview`: a picture of an early step that was kept; `mask` and `init`: what it was made from."""
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


class ImageHead(Contract):
    """What cards and whole records have in common."""

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
    style: str | None = None
    starred: bool = False
    rating: int | None = None
    request_hash: str
    created_at: datetime


class ImageCard(ImageHead):
    """A picture as pages have it: what is shown of it, and what is cheap to read."""

    path: str
    """The original, relative to the home directory, with forward slashes."""


class ImageRecord(ImageHead):
    """A picture as the store knows it."""

    caption: str | None = None
    recipe_hash: str
    pixels_sha256: str
    recipe: Recipe
    file: FileRecord

    @property
    def path(self) -> str:
        """As a card has it."""
        return self.file.path


class ImagePage(Contract):
    """One page of pictures."""

    items: list[ImageCard]
    next_cursor: str | None = None


class ImageCount(Contract):
    """How many pictures meet the filters."""

    total: int


class ImageChanges(Contract):
    """Body of `PATCH /v1/images/{id}`: what is not given stays as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    starred: Annotated[bool, Strict()] | None = None
    rating: Annotated[int, Strict(), Field(ge=0, le=5)] | None = None
