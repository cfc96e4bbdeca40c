"""A bar of shares as HTML, such as a device's memory, and what its colours mean."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import NamedTuple

COLOURS = (
    "#4c78a8",
    "#f58518",
    "#54a24b",
    "#b279a2",
    "#e45756",
    "#72b7b2",
    "#9d755d",
    "#eeca3b",
    "#ff9da6",
    "#439894",
)
"""To be told apart, on white and on black."""


class Share(NamedTuple):
    """A stretch of the bar."""

    name: str
    mib: float
    colour: str


def of(shares: Iterable[Share], total_mib: float, told: str) -> str:
    """The bar.

    Args:
        total_mib: of the whole bar.
        told: the same in words, for who does not see it.
    """
    stretches = "".join(_stretch(share, total_mib) for share in shares)
    return (
        f'<div role="img" aria-label="{html.escape(told)}" '
        'style="display:flex;height:1em;margin:.3em 0;border:1px solid #888">'
        f"{stretches}</div>"
    )


def square(colour: str) -> str:
    """What stands beside the words that a colour means."""
    return f'<span style="color:{colour}">■</span>'


def _stretch(share: Share, total_mib: float) -> str:
    width = 100 * share.mib / total_mib if total_mib else 0
    title = html.escape(f"{share.name}: {share.mib:,.0f} MiB")
    return f'<div title="{title}" style="width:{width:.2f}%;background:{share.colour}"></div>'
