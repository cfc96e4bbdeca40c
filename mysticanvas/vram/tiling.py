"""What decoding in slices and tiles takes: pure.

The order of what diffusers' `AutoencoderKL` does: tiles are decoded one after the other and kept;
then each row of them is put together, and then the rows. Slices are pictures of a batch, decoded
one by one and put together at the end.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from mysticanvas.contracts.tracing import Envelope, Shape
from mysticanvas.vram import envelope
from mysticanvas.vram.envelope import Need


class Way(NamedTuple):
    """How a batch is decoded."""

    tile: int | None
    """Side of the tiles in pixels of the latents; None for whole pictures."""
    overlap: float
    """Share of a tile that the next one covers again."""
    sliced: bool
    """Whether one picture is decoded at a time."""


def need(decoder: Envelope, shape: Shape, way: Way, pixel_bytes: int, threads: int) -> Need:
    """The peak of decoding a batch.

    Args:
        decoder: the envelope of a call with as many pictures as are decoded at a time.
        shape: of the latents of the whole batch.
        pixel_bytes: what a pixel of the latents becomes in a picture.
        threads: that compute, on a CPU.
    """
    if not way.sliced or shape.batch == 1:
        return _pictures(decoder, shape, way, pixel_bytes, threads)
    one = shape.model_copy(update={"batch": 1})
    size = shape.width * shape.height * pixel_bytes
    each = _pictures(decoder, one, way, pixel_bytes, threads)
    last = each._replace(live=each.live + (shape.batch - 1) * size)
    # The batch that they are put together in is brought to 0 … 1, which takes two more of it.
    return max(last, Need(3 * shape.batch * size, 0), key=lambda found: found.total)


def _pictures(decoder: Envelope, shape: Shape, way: Way, pixel_bytes: int, threads: int) -> Need:
    """The same for what is decoded at a time."""
    if way.tile is None or max(shape.width, shape.height) <= way.tile:
        return envelope.peak(decoder, shape, threads)
    kept, most = 0, Need(0, 0)
    for width, height in tiles(shape, way.tile, way.overlap):
        tile = shape.model_copy(update={"width": width, "height": height})
        found = envelope.peak(decoder, tile, threads)
        most = max(most, found._replace(live=found.live + kept), key=lambda found: found.total)
        kept += shape.batch * width * height * pixel_bytes
    whole = shape.batch * shape.width * shape.height * pixel_bytes
    # All tiles, the rows, and the pictures.
    return max(most, Need(kept + 2 * whole, 0), key=lambda found: found.total)


def tiles(shape: Shape, tile: int, overlap: float) -> Iterator[tuple[int, int]]:
    """Widths and heights of the tiles of a picture, in the order in which they are decoded.

    Args:
        shape: of the latents of the picture.
        tile: side of a tile in pixels of the latents.
        overlap: share of a tile that the next one covers again.
    """
    step = int(tile * (1 - overlap))
    across, down = range(0, shape.width, step), range(0, shape.height, step)
    for y, x in itertools.product(down, across):
        yield min(tile, shape.width - x), min(tile, shape.height - y)
