"""A search as it crosses a process boundary."""

from __future__ import annotations

import re
from typing import Literal

from mysticanvas.contracts.images import ImagePage

SearchSort = Literal["best", "newest", "oldest"]
"""Which of the pictures that were found come first; without words to rank by, the best are the
newest."""

FIELDS = ("tag", "preset", "style", "project", "seed", "starred", "rating")
"""Names that make a condition of the word behind them, as `tag:noir` is."""
_QUOTED = re.compile(r'"[^"]*"?')
_NAMED = re.compile(r"(?<!\S)-*([^\W\d]\w*):\S")


def remark(text: str) -> str:
    """What may be wrong with a search that finds nothing; empty if nothing shows."""
    names = _NAMED.findall(_QUOTED.sub(" ", text))
    unknown = next((name for name in names if name.lower() not in FIELDS), None)
    if unknown is None:
        return ""
    known = ", ".join(f"{name}:" for name in FIELDS)
    return f"{unknown}: is looked for as a word, since conditions begin with {known}"


class SearchPage(ImagePage):
    """One page of what was found."""

    scores: list[float | None]
    """Of each item; None where the query had nothing to rank by."""
    total: int
    """Pictures on all pages together, as of page one."""
