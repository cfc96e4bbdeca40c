"""A picture from a prompt: a few fields in two colours, all from its hash."""

from __future__ import annotations

import hashlib

from PIL import Image

_FIELDS = 5
_BRIGHT, _DARK = 160, 96


def draw(prompt: str, seed: int, size: tuple[int, int]) -> Image.Image:
    """The picture; the same arguments give the same pixels everywhere.

    Args:
        size: width and height in pixels.
    """
    digest = hashlib.sha256(f"{seed}\n{prompt}".encode()).digest()
    ground = tuple(_BRIGHT + value * (255 - _BRIGHT) // 255 for value in digest[:3])
    colour = tuple(value * _DARK // 255 for value in digest[3:6])
    small = Image.new("RGB", (_FIELDS, _FIELDS), ground)
    for place in range(_FIELDS * _FIELDS):
        # The right half mirrors the left one, which is easier to tell from another.
        x, y = place % _FIELDS, place // _FIELDS
        if digest[6 + y * 3 + min(x, _FIELDS - 1 - x)] & 1:
            small.putpixel((x, y), colour)
    return small.resize(size, Image.Resampling.NEAREST)
