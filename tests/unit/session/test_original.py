import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import PIL.Image
import pytest

from mysticanvas import Image, InvalidRequest, NotFound
from mysticanvas.contracts.images import ImageRecord
from mysticanvas.session import original
from mysticanvas.session.connection import Connection
from mysticanvas.session.original import resolve

MakeImage = Callable[..., Image]


def test_an_image_is_compared_with_its_own_pixels(
    make_image: MakeImage, connection: Connection
) -> None:
    image = make_image()
    found = resolve(image, connection)
    assert found.image is image
    assert found.pixels_sha256 == image.pixels_sha256
    assert found.stored


@pytest.mark.parametrize("what", [7, None, b"path", ["a"]])
def test_what_is_nothing_of_ours_is_refused(what: object, connection: Connection) -> None:
    with pytest.raises(InvalidRequest, match="an Image, a Recipe"):
        resolve(what, connection)


@pytest.mark.parametrize(
    "what", ["x" * 5000, Path("x" * 5000), "a\0.png", "~nobody-of-that-name/x.png"]
)
def test_a_path_that_cannot_be_is_refused(what: str | Path, connection: Connection) -> None:
    with pytest.raises(InvalidRequest, match="an Image, a Recipe") as refused:
        resolve(what, connection)
    assert refused.value.parameter == "image"
    assert len(str(refused.value)) < 300


def test_an_id_may_be_written_in_capitals(
    make_image: MakeImage, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, asked = make_image(), []

    class Answers:
        def image(self, part: str) -> ImageRecord:
            asked.append(part)
            assert isinstance(image._known, ImageRecord)
            return image._known

    monkeypatch.setattr(connection, "call", lambda ask: ask(Answers()))
    assert resolve(image.id[-8:].upper(), connection).image == image
    assert asked == [image.id[-8:]]


@pytest.mark.parametrize("what", ["no/such.png", Path("no/such.png"), "a red circle"])
def test_a_file_that_is_not_there_is_not_found(what: str | Path, connection: Connection) -> None:
    with pytest.raises(NotFound):
        resolve(what, connection)


def bomb() -> bytes:
    """A PNG that claims 60,000 × 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + crc

    size = (60_000).to_bytes(4, "big")
    header = chunk(b"IHDR", size + size + bytes([8, 2, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_hostile_files_are_refused(
    make_image: MakeImage, connection: Connection, tmp_path: Path
) -> None:
    ours = make_image().path.read_bytes()
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    hostile = {
        "postscript.png": postscript,
        "empty.png": b"",
        "text.png": b"this is no picture",
        "cut.png": ours[:-40],
        "flipped.png": ours[:200] + b"\xff" + ours[201:],
        "bomb.png": bomb(),
    }
    for name, data in hostile.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InvalidRequest, match=f"{name}.*it is no PNG that can be read"):
            resolve(tmp_path / name, connection)


def test_a_recipe_behind_the_pixels_is_found(make_image: MakeImage, tmp_path: Path) -> None:
    image = make_image()
    saved = image.save(tmp_path / "saved.png")
    chunks = list(chunks_of(saved.read_bytes()))
    text = [chunk for chunk in chunks if chunk[4:8] in (b"tEXt", b"zTXt", b"iTXt")]
    others = [chunk for chunk in chunks if chunk not in text]
    assert text
    saved.write_bytes(SIGNATURE + b"".join([*others[:-1], *text, others[-1]]))
    assert original._read(saved)[1].recipe == image.recipe


SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunks_of(png: bytes) -> Iterator[bytes]:
    """The chunks of a PNG, each with its length and its checksum."""
    rest = png.removeprefix(SIGNATURE)
    while rest:
        end = 12 + int.from_bytes(rest[:4], "big")
        yield rest[:end]
        rest = rest[end:]


def test_a_picture_without_a_recipe_is_refused(connection: Connection, tmp_path: Path) -> None:
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "foreign.png")
    with pytest.raises(InvalidRequest, match="no recipe"):
        resolve(str(tmp_path / "foreign.png"), connection)
