"""Several pictures as one, for display."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image as Pillow

CELL_PX = 256
"""Longest side of a picture in a grid; larger ones are scaled down."""
MAX_SHOWN = 64
_GAP_PX = 4


def columns(count: int) -> int:
    """Columns of a grid of `count` pictures: as wide as high, or a little wider; at most 8."""
    return min(8, math.ceil(math.sqrt(count)))


def compose(pictures: Sequence[Pillow.Image]) -> Pillow.Image:
    """The pictures in rows on a transparent ground, each at most `CELL_PX` wide and high."""
    from PIL import Image

    cells = [scaled(picture) for picture in pictures]
    wide = max((cell.width for cell in cells), default=1)
    high = max((cell.height for cell in cells), default=1)
    across = max(1, columns(len(cells)))
    down = max(1, math.ceil(len(cells) / across))
    size = (across * (wide + _GAP_PX) - _GAP_PX, down * (high + _GAP_PX) - _GAP_PX)
    grid = Image.new("RGBA", size, (0, 0, 0, 0))
    for index, cell in enumerate(cells):
        row, column = divmod(index, across)
        grid.paste(cell, (column * (wide + _GAP_PX), row * (high + _GAP_PX)))
    return grid


def png(picture: Pillow.Image) -> bytes:
    """The picture as a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def scaled(picture: Pillow.Image) -> Pillow.Image:
    """A copy that is at most `CELL_PX` wide and high."""
    copy = picture.convert("RGBA")
    copy.thumbnail((CELL_PX, CELL_PX))
    return copy
