import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import pytest

from mysticanvas import Image, Images, InvalidRequest, NotFound
from mysticanvas.session import grid, sheet
from mysticanvas.session.grid import CELL_PX

MakeImage = Callable[..., Image]


def test_a_picture_tells_what_it_is(make_image: MakeImage) -> None:
    image = make_image(2)
    assert image.size == (image.width, image.height) == (16, 8)
    assert image.seed == 9
    assert image.path.is_file()
    assert image.path.is_absolute()
    assert image.prompt == image.recipe.params.prompt
    assert repr(image) == f"<Image 16×8 seed=9 request={image.recipe.request_hash[:8]}>"


def test_the_pixels_come_as_pillow_numpy_and_array(make_image: MakeImage) -> None:
    image = make_image(colour=(10, 20, 30))
    assert image.pil().size == (16, 8)
    assert image.numpy().shape == (8, 16, 3)
    assert image.numpy().dtype == np.uint8
    assert np.asarray(image, dtype=np.float32).max() == 30.0
    with pytest.raises(ValueError, match="copy"):
        np.array(image, copy=False)


def test_what_pillow_gives_is_the_callers_to_change(make_image: MakeImage) -> None:
    image = make_image(colour=(255, 0, 0))
    image.pil().putpixel((0, 0), (0, 0, 0))
    assert image.pil().getpixel((0, 0)) == (255, 0, 0)


def test_a_notebook_gets_the_file_as_it_is(make_image: MakeImage) -> None:
    image = make_image()
    assert image._repr_png_() == image.path.read_bytes()


def test_a_file_that_is_gone_is_named(make_image: MakeImage) -> None:
    image = make_image()
    image.path.unlink()
    for use in (image.pil, image.numpy, image._repr_png_):
        with pytest.raises(NotFound, match=image.id[-8:]) as missing:
            use()
        assert "reproduce" in missing.value.hint


def test_a_home_that_is_not_here_is_not_said_to_have_lost_a_file(make_image: MakeImage) -> None:
    image = make_image()
    home = image.path.parent.parent
    home.rename(home.with_name("elsewhere"))
    with pytest.raises(NotFound, match=f"cannot be read here: there is no {home}") as missing:
        image.pil()
    assert "Canvas(url=" in missing.value.hint
    assert "reproduce" not in missing.value.hint


def test_two_snapshots_of_one_picture_are_equal(make_image: MakeImage) -> None:
    image, other = make_image(0), make_image(1)
    assert image == copy.copy(image)
    assert image != other
    assert len({image, copy.copy(image), other}) == 2


def test_images_are_a_sequence(make_image: MakeImage) -> None:
    images = Images(make_image(k) for k in range(4))
    assert len(images) == 4
    assert images[1].seed == 8
    assert isinstance(images[1:3], Images)
    assert [image.seed for image in reversed(images)] == [10, 9, 8, 7]
    assert images[0] in images
    assert images[:2] + images[2:] == images


def test_the_text_of_images_is_the_same_on_every_machine(make_image: MakeImage) -> None:
    images = Images(make_image(k) for k in range(4))
    request = images[0].recipe.request_hash[:8]
    assert repr(images) == f"<Images 4 · seeds=7…10 request={request}>"
    assert repr(images[:1]) == f"<Images 1 · seeds=7 request={request}>"
    assert repr(images[:0]) == "<Images 0>"


def test_several_pictures_are_shown_as_a_grid(make_image: MakeImage) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    shown = Images(make_image(k, colour) for k, colour in enumerate(colours)).pil()
    assert shown.size == (2 * 16 + 4, 2 * 8 + 4)
    found = [shown.getpixel(corner) for corner in ((0, 0), (20, 0), (0, 12), (20, 12))]
    assert found == [*((*colour, 255) for colour in colours), (0, 0, 0, 0)]


def test_a_picture_whose_file_is_gone_hides_no_other(make_image: MakeImage) -> None:
    images = Images([make_image(0, (255, 0, 0)), make_image(1), make_image(2, (0, 0, 255))])
    images[1].path.unlink()
    shown = images.pil()
    assert shown.getpixel((0, 0)) == (255, 0, 0, 255)
    assert shown.getpixel((0, 12)) == (0, 0, 255, 255)
    assert shown.getpixel((20, 0)) == (*grid.MISSING_RGB, 255)
    assert images._repr_png_() is not None


def test_a_picture_whose_file_is_damaged_hides_no_other(make_image: MakeImage) -> None:
    images = Images([make_image(0), make_image(1)])
    images[1].path.write_bytes(images[0].path.read_bytes()[:60])
    assert images.pil().getpixel((20, 0)) == (*grid.MISSING_RGB, 255)


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_a_picture_that_cannot_be_read_hides_no_other_in_html(
    make_image: MakeImage, content: bytes | None
) -> None:
    images = Images([make_image(0), make_image(1)])
    damaged = images[0].path.read_bytes()[:60] if content is None else content
    images[1].path.write_bytes(damaged)
    shown = sheet.of(images, none="")
    assert shown.count('<img src="data:image/png;base64,') == 2
    assert all(image.id[-8:] in shown for image in images)


def test_pictures_beyond_those_shown_are_counted_in_a_tile(
    make_image: MakeImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "MAX_SHOWN", 3)
    images = Images(make_image(k) for k in range(5))
    two, none = images.pil(), images[:3].pil()
    tile = grid.placeholder((100, 24), "and 2 more").convert("RGBA")
    assert two.crop((104, 28, 204, 52)).tobytes() == tile.tobytes()
    assert len(tile.getcolors() or []) > 1, "the words have room"
    assert none.size == (2 * 16 + 4, 2 * 8 + 4)


def test_a_placeholder_says_what_is_missing() -> None:
    one, other = (grid.placeholder((1024, 512), f"file missing\n{id}") for id in ("1f0a", "77bc"))
    assert one.size == (CELL_PX, CELL_PX // 2)
    assert len(one.getcolors() or []) > 1
    assert one.tobytes() != other.tobytes()
    assert grid.placeholder((16_384, 8), "x").size == (CELL_PX, 1)


def test_a_large_picture_is_scaled_down_in_a_grid(make_image: MakeImage) -> None:
    image = make_image()
    PIL.Image.new("RGB", (1024, 512)).save(image.path)
    assert Images([image]).pil().size == (CELL_PX, CELL_PX // 2)


@pytest.mark.parametrize("bad", [5, [1], "ab", [None]])
def test_only_pictures_are_images(bad: Any) -> None:
    with pytest.raises(InvalidRequest, match="a list of pictures, each an Image") as refused:
        Images(bad)
    assert refused.value.parameter == "images"


def test_no_pictures_have_no_grid() -> None:
    assert Images()._repr_png_() is None
