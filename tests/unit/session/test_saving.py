from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from mysticanvas import Image, InvalidRequest, Recipe
from mysticanvas.contracts import picture
from mysticanvas.session import saving

MakeImage = Callable[..., Image]


def test_a_png_with_metadata_is_the_same_file(make_image: MakeImage, tmp_path: Path) -> None:
    image = make_image()
    saved = image.save(tmp_path / "copy.png")
    assert saved.read_bytes() == image.path.read_bytes()


def test_a_png_without_metadata_has_the_pixels_alone(make_image: MakeImage, tmp_path: Path) -> None:
    image = make_image()
    with PIL.Image.open(image.save(tmp_path / "bare.png", metadata=False)) as bare:
        assert np.array_equal(np.asarray(bare), image.numpy())
        assert picture.read(bare.info) is None
        assert not bare.info


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".webp"])
def test_other_formats_carry_the_parameters_as_exif(
    make_image: MakeImage, tmp_path: Path, suffix: str
) -> None:
    image = make_image()
    with PIL.Image.open(image.save(tmp_path / f"copy{suffix}")) as copy:
        comment = copy.getexif().get_ifd(0x8769)[0x9286]
    assert comment.startswith(b"UNICODE\0")
    text = comment[8:].decode("utf-16-be")
    assert text == picture.a1111_parameters(image.recipe)
    with PIL.Image.open(image.save(tmp_path / f"bare{suffix}", metadata=False)) as bare:
        assert not bare.getexif().get_ifd(0x8769)


def test_a_folder_gets_a_file_named_after_the_id(make_image: MakeImage, tmp_path: Path) -> None:
    image = make_image()
    assert image.save(tmp_path) == tmp_path / f"{image.id}.png"


def test_saving_over_itself_keeps_the_file(make_image: MakeImage) -> None:
    image = make_image()
    before = image.path.read_bytes()
    assert image.save(image.path).read_bytes() == before


@pytest.mark.parametrize(
    "name", ["picture.bmp", "picture", "no/such/folder/picture.png", "a\0.png", "x" * 5000 + ".png"]
)
def test_a_path_that_cannot_be_is_refused(make_image: MakeImage, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        make_image().save(tmp_path / name)
    assert refused.value.parameter == "path"


@pytest.mark.parametrize("bad", [5, None, "~nobody-of-that-name/x.png"])
def test_what_is_no_path_is_refused(make_image: MakeImage, bad: Any) -> None:
    with pytest.raises(InvalidRequest, match="a folder, or a file name with") as refused:
        make_image().save(bad)
    assert refused.value.parameter == "path"


def test_metadata_is_wanted_or_not(make_image: MakeImage, tmp_path: Path) -> None:
    wanted: Any = "yes"
    with pytest.raises(InvalidRequest, match="metadata='yes'"):
        make_image().save(tmp_path / "a.png", metadata=wanted)
    assert not list(tmp_path.glob("*.png"))


LONG = "é" * 20_000


def test_a_recipe_that_a_jpeg_has_no_room_for_is_refused_and_the_file_there_stays(
    make_image: MakeImage, recipe: Recipe, tmp_path: Path
) -> None:
    params = recipe.params.model_copy(update={"prompt": LONG, "negative_prompt": LONG})
    long, original = recipe.model_copy(update={"params": params}), make_image().path
    there = tmp_path / "there.jpg"
    there.write_bytes(b"a picture")
    with pytest.raises(InvalidRequest, match=r"\.png or \.webp.*metadata=False") as refused:
        saving.save(original, long, there, metadata=True)
    assert refused.value.parameter == "path"
    assert there.read_bytes() == b"a picture"
    saving.save(original, long, there, metadata=False)
    saving.save(original, long, tmp_path / "it.webp", metadata=True)
    with PIL.Image.open(tmp_path / "it.webp") as copy:
        comment = copy.getexif().get_ifd(0x8769)[0x9286]
    assert comment[8:].decode("utf-16-be").startswith(LONG)


def test_a_jpeg_takes_as_much_as_it_can(
    make_image: MakeImage, recipe: Recipe, tmp_path: Path
) -> None:
    def prompt(signs: int) -> Recipe:
        given = {"prompt": "x" * signs}
        return recipe.model_copy(update={"params": recipe.params.model_copy(update=given)})

    room = (65_533 - len(saving._exif(prompt(0)))) // 2
    original = make_image().path
    saving.save(original, prompt(room), tmp_path / "it.jpg", metadata=True)
    with pytest.raises(InvalidRequest):
        saving.save(original, prompt(room + 1), tmp_path / "it.jpg", metadata=True)
