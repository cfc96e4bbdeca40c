"""Copies of a picture in the format that its file name asks for."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mysticanvas.contracts.params import refused
from mysticanvas.contracts.picture import a1111_parameters
from mysticanvas.session import arguments, decoding

if TYPE_CHECKING:
    from mysticanvas.contracts.recipe import Recipe

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "JPEG": {"quality": 95},
    "WEBP": {"lossless": True},
}
_EXIF_IFD = 0x8769
_USER_COMMENT = 0x9286
_MOST_BYTES = {"JPEG": 65_533}
"""Of EXIF, in a format that bounds it: a segment of a JPEG says its length in two bytes."""


def target(path: str | Path, name: str) -> Path:
    """The file that `path` means: itself, or `name` in it if it is a folder.

    Raises:
        InvalidRequest: it is no path, the folder does not exist, or the suffix is of no format that
            we write.
    """
    allowed = f"a folder, or a file name with {', '.join(FORMATS)}"
    file = arguments.path("path", path, allowed)
    try:
        if file.is_dir():
            file = file / name
        there = file.parent.is_dir()
    except OSError as error:
        raise refused("path", str(path), allowed, f"{error.strerror}.") from None
    if file.suffix.lower() not in FORMATS:
        raise refused("path", str(path), allowed)
    if not there:
        raise refused("path", str(path), f"a path in a folder that exists; {file.parent} does not")
    return file.absolute()


def save(original: Path, recipe: Recipe, file: Path, metadata: bool) -> None:
    """Write a copy of the PNG `original` to `file`.

    With metadata, a PNG is copied byte by byte, and other formats carry the parameters in the
    EXIF user comment, where AUTOMATIC1111 and the tools after it look for them.

    Raises:
        InvalidRequest: the format has no room for that.
        NotFound: the original has no picture that can be read.
    """
    form = FORMATS[file.suffix.lower()]
    if form == "PNG" and metadata:
        if not (file.exists() and file.samefile(original)):
            shutil.copyfile(original, file)
        return
    options: dict[str, Any] = dict(_OPTIONS[form])
    if metadata:
        options["exif"] = exif = _exif(recipe)
        # Pillow would refuse it when it has emptied the file that was there.
        if len(exif) > _MOST_BYTES.get(form, len(exif)):
            allowed = "a path that ends in .png or .webp, which have room for prompts this long"
            hint = "Without them, metadata=False saves it."
            raise refused("path", str(file), allowed, hint)
    with decoding.png(original) as opened:
        picture = opened.convert("RGB") if form == "JPEG" else opened.copy()
    picture.info.clear()
    picture.save(file, form, **options)


def _exif(recipe: Recipe) -> bytes:
    from PIL import Image

    exif = Image.Exif()
    text = a1111_parameters(recipe).encode("utf-16-be")
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = b"UNICODE\0" + text
    return exif.tobytes()
