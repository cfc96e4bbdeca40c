"""Pictures as files: a PNG that tells its recipe, under a name that is its own hash.

The file is complete and on disk before anyone is told of it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mysticanvas import durable
from mysticanvas.contracts import picture
from mysticanvas.contracts.images import FileRecord
from mysticanvas.errors import StoreFull

_PNG_LEVEL = 3
"""Compression level: 6, the usual one, takes several times as long for a few per cent."""


def pixels_sha256(image: Image.Image) -> str:
    """SHA-256 of a picture's pixels, as `picture.pixels_sha256` defines it."""
    return picture.pixels_sha256(image.mode, *image.size, image.tobytes())


def encode_png(image: Image.Image, text: Mapping[str, str]) -> bytes:
    """A PNG file with text chunks (keyword -> text)."""
    info = PngInfo()
    for keyword, value in text.items():
        info.add_text(keyword, value)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info, compress_level=_PNG_LEVEL)
    return buffer.getvalue()


def save(folder: Path, image: Image.Image, text: Mapping[str, str]) -> FileRecord:
    """Write a picture below the images folder.

    Args:
        folder: the images folder of the home directory.
        text: keyword -> text, for the PNG's chunks.

    Raises:
        StoreFull: the disk is full.
    """
    data = encode_png(image, text)
    sha256 = hashlib.sha256(data).hexdigest()
    name = f"{sha256}.png"
    try:
        _write(folder / sha256[:2] / name, data)
    except OSError as error:
        if not durable.is_full(error):
            raise
        raise StoreFull(
            f"There is no space left for a picture in {folder}.",
            hint="Free some space on that disk, then try again.",
        ) from error
    return FileRecord(
        path=f"images/{sha256[:2]}/{name}",
        sha256=sha256,
        bytes=len(data),
        width=image.width,
        height=image.height,
    )


def _write(path: Path, data: bytes) -> None:
    folder = path.parent
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        durable.sync_folder(folder.parent)
    durable.replace(path, data)
