"""A search as it crosses a process boundary."""

from __future__ import annotations

from typing import Literal

from mysticanvas.contracts.images import ImagePage

SearchSort = Literal["best", "newest", "oldest"]
"""Which of the pictures that were found come first; without words to rank by, the best are the
newest."""


class SearchPage(ImagePage):
    """One page of what was found."""

    scores: list[float | None]
    """Of each item; None where the query had nothing to rank by."""
    total: int
    """Pictures on all pages together, as of page one."""
