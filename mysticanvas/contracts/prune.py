"""Removing many pictures at once, as it crosses a process boundary."""

from __future__ import annotations

from datetime import datetime

from mysticanvas.contracts.base import Contract


class PruneRequest(Contract):
    """Which pictures are to go: those that meet every condition that is given.

    Without any condition, none; the files of pictures that were deleted before go in any case.
    """

    until: datetime | None = None
    """Created before."""
    unstarred: bool = False
    """Without a star. A rated picture counts as any other."""
    project: str | None = None
    preset: str | None = None
    dry_run: bool = True
    """Only say what would go."""


class PruneReport(Contract):
    """What went, or would go."""

    images: int
    """Pictures that met the conditions."""
    bytes: int
    """Their files, thumbnails included."""
    deleted_images: int
    """Pictures that were deleted before, whose files were still there."""
    deleted_bytes: int
    dry_run: bool
