"""Pictures of ours are opened by the decoder of their format alone, up to the size that is made."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import PIL.EpsImagePlugin
import PIL.Image
import pytest

from mysticanvas import Image, Images, NotFound
from mysticanvas.session import decoding, original, sheet
from mysticanvas.session.connection import Connection
from mysticanvas.session.grid import MISSING_RGB

MakeImage = Callable[..., Image]
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 8\n%%EndComments\nshowpage\n%%EOF\n"


def test_pictures_as_large_as_are_made_are_read_whatever_pillow_allows(
    make_image: MakeImage,
    connection: Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = make_image()
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 8)
    with pytest.raises(PIL.Image.DecompressionBombError):
        PIL.Image.open(image.path)
    assert image.pil().size == image.numpy().shape[1::-1] == (16, 8)
    for suffix in ("jpg", "webp", "png"):
        assert image.save(tmp_path / f"copy.{suffix}", metadata=False).is_file()
    assert original._read(image.path)[1].image_id == image.id
    assert PIL.Image.MAX_IMAGE_PIXELS == 8


def test_a_larger_picture_is_refused_by_name_and_hides_no_other(
    make_image: MakeImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = Images([make_image(0), make_image(1)])
    PIL.Image.new("RGB", (16, 16), (0, 0, 255)).save(images[1].path)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 16 * 8)
    for use in (images[1].pil, images[1].numpy, lambda: images[1].save(tmp_path / "a.jpg")):
        with pytest.raises(NotFound, match=f"{images[1].id}.*16 × 16 pixels are more than 128"):
            use()
    assert images.pil().getpixel((20, 0)) == (*MISSING_RGB, 255)
    assert images[1].id[-8:] in sheet.of(images, none="")


@pytest.mark.parametrize("error", [ValueError, MemoryError, ZeroDivisionError, RuntimeError])
def test_whatever_a_decoder_raises_hides_no_other_picture(
    make_image: MakeImage, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    image = make_image()

    def load(_: object) -> None:
        raise error

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(NotFound, match=error.__name__) as caught:
        image.pil()
    assert "reproduce" in caught.value.hint
    assert image._tile().size == (16, 8)


def test_no_other_decoder_is_let_near_a_file(
    make_image: MakeImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ghostscript(*_: object, **__: object) -> None:
        raise AssertionError("another program would run")

    monkeypatch.setattr(PIL.EpsImagePlugin, "Ghostscript", ghostscript)
    image = make_image()
    image.path.write_bytes(EPS)
    for use in (image.pil, lambda: image.save(tmp_path / "a.jpg")):
        with pytest.raises(NotFound, match="not a PNG file"):
            use()
    with pytest.raises(NotFound):
        decoding.webp(EPS)


def test_a_thumbnail_is_a_webp_file() -> None:
    content = io.BytesIO()
    PIL.Image.new("RGB", (8, 4)).save(content, "WEBP")
    assert decoding.webp(content.getvalue()).size == (8, 4)
    content = io.BytesIO()
    PIL.Image.new("RGB", (8, 4)).save(content, "PNG")
    with pytest.raises(NotFound):
        decoding.webp(content.getvalue())
