"""Thumbnails in the kernel: read where they lie, asked for where they do not."""

from collections.abc import Callable
from pathlib import Path

import PIL.Image
import pytest

from mysticanvas import Image, Images, InvalidRequest, NotFound
from mysticanvas.contracts import thumbnails
from mysticanvas.session.connection import Connection
from mysticanvas.session.grid import CELL_PX

MakeImage = Callable[..., Image]
BLUE, RED = (0, 0, 255), (255, 0, 0)


def put(connection: Connection, image: Image, size: int = 256) -> Path:
    """A thumbnail in another colour than its picture, so that they can be told apart."""
    path = connection.paths.root / thumbnails.path(image.id, size)
    path.parent.mkdir(parents=True)
    PIL.Image.new("RGB", (size, size), BLUE).save(path, lossless=True)
    return path


def test_one_that_is_there_is_read_without_asking(
    make_image: MakeImage, connection: Connection
) -> None:
    image = make_image(colour=RED)
    put(connection, image, 512)
    small = image.thumbnail(512)
    assert (small.size, small.getpixel((0, 0))) == ((512, 512), BLUE)
    assert connection._endpoint is None


def test_a_size_that_there_is_not_is_refused(make_image: MakeImage) -> None:
    with pytest.raises(InvalidRequest) as refused:
        make_image().thumbnail(100)
    assert refused.value.allowed == "256 or 512"


def test_a_picture_that_the_store_does_not_know_is_scaled_here(
    make_image: MakeImage, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> None:
        raise NotFound("There is no image.")

    monkeypatch.setattr(connection, "call", unknown)
    image = make_image()
    PIL.Image.new("RGB", (1024, 512)).save(image.path)
    assert image.thumbnail().size == (256, 128)


def test_a_grid_takes_thumbnails_of_large_pictures_only(
    make_image: MakeImage, connection: Connection
) -> None:
    small, large, bare = (make_image(k, RED) for k in range(3))
    for image in (large, bare):
        record = image._record.model_copy(update={"width": 1024, "height": 1024})
        image._known = record
        PIL.Image.new("RGB", (1024, 1024), RED).save(image.path)
    for image in (small, large):
        put(connection, image)
    shown = Images([small, large, bare]).pil()
    step = CELL_PX + 4
    found = [shown.getpixel(corner) for corner in ((0, 0), (step, 0), (0, step))]
    assert found == [(*RED, 255), (*BLUE, 255), (*RED, 255)]


def test_a_damaged_thumbnail_does_not_hide_the_picture(
    make_image: MakeImage, connection: Connection
) -> None:
    image = make_image(colour=RED)
    image._known = image._record.model_copy(update={"width": 1024, "height": 1024})
    put(connection, image).write_bytes(b"damaged")
    assert Images([image]).pil().getpixel((0, 0)) == (*RED, 255)


def test_a_single_picture_is_shown_as_it_is(make_image: MakeImage, connection: Connection) -> None:
    image = make_image()
    put(connection, image)
    assert image._repr_png_() == image.path.read_bytes()
