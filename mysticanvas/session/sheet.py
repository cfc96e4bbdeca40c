"""The first of many pictures as HTML, for display: thumbnails, so that it stays small."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mysticanvas.contracts.ids import short
from mysticanvas.session import table

if TYPE_CHECKING:
    from mysticanvas.session.image import Image


def of(images: Sequence[Image], total: int) -> str:
    """The pictures with their short ids, and how many others there are.

    Args:
        images: the newest, newest first.
        total: how many there are in all.
    """
    if not total:
        return "<p>no pictures yet</p>"
    figures = "".join(map(_figure, images))
    rest = table.rest(total - len(images), "older")
    return f'<div style="display:flex;flex-wrap:wrap;gap:4px">{figures}</div>{rest}'


def _figure(image: Image) -> str:
    prompt = html.escape(image.prompt)
    shown = f'<img src="{image._address()}" alt="{prompt}" title="{prompt}">'
    caption = f"<figcaption>{short(image.id)}</figcaption>"
    return f'<figure style="margin:0">{shown}{caption}</figure>'
