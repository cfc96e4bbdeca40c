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
MISSING_RGB = (96, 96, 96)
"""Ground of a tile that stands for what is not shown."""
_GAP_PX = 4
_WORDS_PX = (100, 24)
"""Room for a few words."""


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


def placeholder(size: tuple[int, int], text: str) -> Pillow.Image:
    """A tile that stands for a picture which cannot be shown.

    Args:
        size: width and height in px that the picture has; the tile is scaled as it would be.
        text: what it says in its middle, if there is room.
    """
    from PIL import Image, ImageDraw

    scale = min(1.0, CELL_PX / max(size))
    wide, high = (max(1, round(side * scale)) for side in size)
    tile = Image.new("RGB", (wide, high), MISSING_RGB)
    drawing = ImageDraw.Draw(tile)
    left, top, right, bottom = drawing.multiline_textbbox((0, 0), text, align="center")
    place = ((wide - (right - left)) / 2, (high - (bottom - top)) / 2)
    if min(place) >= 0:
        drawing.multiline_text(place, text, "white", align="center")
    return tile


def others(shown: Sequence[Pillow.Image], count: int) -> Pillow.Image:
    """A tile as large as those shown, that stands for `count` others."""
    wide, high = _WORDS_PX
    sides = max(wide, *(each.width for each in shown)), max(high, *(each.height for each in shown))
    return placeholder(sides, f"and {count:,} more")


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
