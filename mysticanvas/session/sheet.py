"""Pictures as HTML, for display: thumbnails, so that it stays small."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mysticanvas.contracts.ids import short

if TYPE_CHECKING:
    from mysticanvas.session.image import Image


def of(images: Sequence[Image], *, none: str) -> str:
    """The pictures with their short ids.

    Args:
        none: what is said in their place if there are none.
    """
    if not images:
        return f"<p>{html.escape(none)}</p>"
    figures = "".join(map(_figure, images))
    return f'<div style="display:flex;flex-wrap:wrap;gap:4px">{figures}</div>'


def _figure(image: Image) -> str:
    prompt = html.escape(image.prompt)
    shown = f'<img src="{image._address()}" alt="{prompt}" title="{prompt}">'
    caption = f"<figcaption>{short(image.id)}</figcaption>"
    return f'<figure style="margin:0">{shown}{caption}</figure>'
