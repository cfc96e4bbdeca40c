"""Opens pictures of ours. A file may have become anything, and may come from anybody, so no decoder
is let near it but that of the format which it is to have: some start other programs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mysticanvas.errors import MystiCanvasError, NotFound
from mysticanvas.settings import MAX_SIDE_PX

if TYPE_CHECKING:
    from PIL import Image as Pillow

MAX_PIXELS = MAX_SIDE_PX**2
"""Of the largest picture that `generate` makes. Pillow's own limit is lower, and is one of the
whole process, which is the user's; `Image.open` keeps to it, and a format's own class does not."""


def why(error: NotFound) -> str:
    """What the decoder said of a file; empty if there is no file at all."""
    return str(error.extra.get("why", ""))


@contextmanager
def png(file: Path) -> Iterator[Pillow.Image]:
    """The picture in a PNG, of which nothing is decoded yet.

    Raises:
        NotFound: it is none or too large, or the decoder fails in the block.
    """
    from PIL.PngImagePlugin import PngImageFile

    with _explained(str(file)), PngImageFile(file) as opened:
        _require_size(opened)
        yield opened


def webp(content: bytes) -> Pillow.Image:
    """The picture in a WebP file, decoded.

    Raises:
        NotFound: as `png`.
    """
    from PIL.WebPImagePlugin import WebPImageFile

    with _explained("The thumbnail"), WebPImageFile(io.BytesIO(content)) as opened:
        _require_size(opened)
        opened.load()
    return opened


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except MystiCanvasError:
        raise
    # A decoder may raise anything on a damaged or hostile file.
    except Exception as error:
        said = str(error) or type(error).__name__
        raise NotFound(
            f"{what} has no picture that can be read: {said}.",
            hint="If it is one of yours, canvas.reproduce(image) makes it again.",
            why=said,
        ) from error


def _require_size(picture: Pillow.Image) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width:,} × {height:,} pixels are more than {MAX_PIXELS:,}")
