"""A search as it crosses a process boundary."""

from __future__ import annotations

from mysticanvas.contracts.images import ImagePage


class SearchPage(ImagePage):
    """One page of what was found, best first."""

    scores: list[float | None]
    """Of each item; None where the query had nothing to rank by, and the newest come first."""
    total: int
    """Pictures on all pages together, as of page one."""
