"""Thumbnails: where they lie, and what is said between those who want and those who make them."""

from __future__ import annotations

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.images import FileKind, FileRecord

SIZES: dict[int, FileKind] = {256: "thumbnail_256", 512: "thumbnail_512"}
"""Longest side in px -> kind. A picture that is smaller keeps its size."""


def path(image_id: str, size: int) -> str:
    """Where a thumbnail is, relative to the home: known from the id alone, so that nobody has to
    ask for it.

    The tail of an id names the folder, because the head is a timestamp.
    """
    return f"thumbs/{size}/{image_id[-2:]}/{image_id}.webp"


class ThumbnailOrder(Contract):
    """Make the thumbnails of a picture."""

    image_id: str
    source: str
    """The picture's file, relative to the home."""
    urgent: bool = False
    """Somebody waits for it: it comes before those that nobody waits for."""
    request_id: str = ""
    """Of the call that wants them; for the log."""


class ThumbnailAnswer(Contract):
    """What came of an order: files, or one of three reasons for there being none."""

    image_id: str
    files: list[FileRecord] = []
    """They are on disk."""
    unfit: str = ""
    """Why this picture can have none, now or later."""
    unread: str = ""
    """Why the picture's file could not be read this time."""
    errno: int = 0
    """What the system said when a file was to be written; nothing that the picture can help."""
