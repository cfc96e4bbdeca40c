import hashlib
from pathlib import Path

import pytest
from PIL import Image

from mysticanvas.errors import StoreFull
from mysticanvas.workers import saving


@pytest.fixture
def image() -> Image.Image:
    return Image.linear_gradient("L").resize((40, 24)).convert("RGB")


def test_the_file_is_named_by_its_hash(tmp_path: Path, image: Image.Image) -> None:
    record = saving.save(tmp_path / "images", image, {"parameters": "a red circle"})
    data = (tmp_path / record.path).read_bytes()
    assert record.sha256 == hashlib.sha256(data).hexdigest()
    assert record.path == f"images/{record.sha256[:2]}/{record.sha256}.png"
    assert (record.bytes, record.width, record.height) == (len(data), 40, 24)


def test_pixels_and_text_come_back(tmp_path: Path, image: Image.Image) -> None:
    text = {"parameters": "ein Kreis: été, замок, 城", "mysticanvas": '{"version":1}'}
    record = saving.save(tmp_path / "images", image, text)
    with Image.open(tmp_path / record.path) as found:
        assert found.tobytes() == image.tobytes()
        assert {key: found.info[key] for key in text} == text


def test_nothing_but_the_file_is_left(tmp_path: Path, image: Image.Image) -> None:
    first = saving.save(tmp_path, image, {})
    assert saving.save(tmp_path, image, {}) == first
    files = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [f"{first.sha256}.png"]


def test_pixels_sha256_tells_pixels_size_and_mode_apart(image: Image.Image) -> None:
    same = Image.frombytes("RGB", image.size, image.tobytes())
    other = image.copy()
    other.putpixel((0, 0), (9, 9, 9))
    turned = Image.frombytes("RGB", (image.height, image.width), image.tobytes())
    grey = Image.frombytes("L", (image.width * 3, image.height), image.tobytes())
    digests = [saving.pixels_sha256(each) for each in (image, other, turned, grey)]
    assert saving.pixels_sha256(same) == digests[0]
    assert len(set(digests)) == 4


def test_no_space_is_store_full(
    tmp_path: Path, image: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(StoreFull, match="no space left"):
        saving.save(tmp_path, image, {})
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
