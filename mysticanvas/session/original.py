"""What is to be reproduced: a picture, a recipe, a file or an id."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mysticanvas.contracts import picture
from mysticanvas.contracts.filters import ImageFilters
from mysticanvas.contracts.ids import is_part
from mysticanvas.contracts.images import FileRecord, ImageRecord
from mysticanvas.contracts.params import check_recipe, refused
from mysticanvas.contracts.recipe import Recipe
from mysticanvas.errors import InvalidRequest, NotFound
from mysticanvas.session import arguments, decoding
from mysticanvas.session.image import Image

if TYPE_CHECKING:
    from PIL import Image as Pillow

    from mysticanvas.session.connection import Connection

_ALLOWED = "an Image, a Recipe, the path of a PNG, or the id of an image"


class Original(NamedTuple):
    """What a new picture is compared with."""

    recipe: Recipe
    image: Image | None = None
    """The picture, if there is one."""
    pixels_sha256: str | None = None
    """What its pixels are now."""
    stored: bool = False
    """Whether this home's store has it."""
    edited: bool = False
    """Whether the file's pixels are not those that were once made."""


def resolve(what: Image | Recipe | Path | str, connection: Connection) -> Original:
    """Find out what `what` is.

    Raises:
        InvalidRequest: it is nothing that can be reproduced, or its recipe holds what `generate`
            would not allow.
        NotFound: there is no such file or image.
    """
    if isinstance(what, Image):
        return _of_image(what)
    if isinstance(what, Recipe):
        return _of_recipe(what, connection)
    file = arguments.path("image", what, _ALLOWED)
    if isinstance(what, Path) or _is_file(file):
        return _of_file(file, connection)
    part = what.lower()
    if is_part(part):
        return _of_image(Image(connection.call(lambda api: api.image(part)), connection))
    raise NotFound(f"There is no file {what!r}, and it is no id.", hint=f"Allowed is {_ALLOWED}.")


def _of_image(image: Image) -> Original:
    return Original(image.recipe, image, image.pixels_sha256, stored=True)


def _of_recipe(recipe: Recipe, connection: Connection) -> Original:
    # Before its hash, which not everything has.
    check_recipe(recipe)
    same = ImageFilters(recipe_hash=recipe.hash)
    page = connection.call(lambda api: api.images(same, 1))
    if not page.items:
        return Original(recipe)
    return _of_image(Image(page.items[0], connection))


def _of_file(file: Path, connection: Connection) -> Original:
    opened, text = _read(file)
    check_recipe(text.recipe)
    size = opened.size
    pixels = picture.pixels_sha256(opened.mode, *size, opened.tobytes())
    try:
        record = connection.call(lambda api: api.image(text.image_id))
    except NotFound:
        record = None
    stored = record is not None and record.pixels_sha256 == pixels
    if record is None or not stored:
        record = _record(file, opened, text, pixels)
    edited = pixels != text.pixels_sha256
    return Original(text.recipe, Image(record, connection), pixels, stored, edited)


def _read(file: Path) -> tuple[Pillow.Image, picture.PictureText]:
    if not _is_file(file):
        raise NotFound(f"There is no file {str(file)!r}.")
    try:
        with decoding.png(file) as opened:
            # Some tools write text behind the pixels, where it is found once these are decoded.
            opened.load()
            text = picture.read(opened.info)
            if text is None:
                raise _unreadable(file, "it holds no recipe of MystiCanvas")
    except NotFound as error:
        why = decoding.why(error)
        raise _unreadable(file, f"it is no PNG that can be read ({why})") from error
    return opened, text


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError as error:  # such as a name that is too long for the system
        raise refused("image", str(file), _ALLOWED, f"{error.strerror}.") from None


def _unreadable(file: Path, why: str) -> InvalidRequest:
    return InvalidRequest(
        f"{str(file)!r} cannot be reproduced: {why}.",
        hint="Allowed is a PNG that MystiCanvas made, saved with its metadata.",
        parameter="image",
        value=str(file),
        allowed=_ALLOWED,
    )


def _record(
    file: Path, opened: Pillow.Image, text: picture.PictureText, pixels: str
) -> ImageRecord:
    """A picture that is not in this store, described by its file."""
    recipe = text.recipe
    width, height = opened.size
    absolute = file.absolute()
    return ImageRecord(
        id=text.image_id,
        seq=0,
        job_id=text.job_id,
        batch_index=recipe.batch_index,
        project=text.project,
        parent=text.parent,
        prompt=recipe.params.prompt,
        width=width,
        height=height,
        mode=opened.mode,
        seed=recipe.seed,
        preset=recipe.preset,
        request_hash=recipe.request_hash,
        recipe_hash=recipe.hash,
        pixels_sha256=pixels,
        recipe=recipe,
        file=FileRecord(
            path=str(absolute),
            sha256="",
            bytes=absolute.stat().st_size,
            width=width,
            height=height,
        ),
        created_at=text.created_at,
    )
