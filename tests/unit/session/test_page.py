from collections.abc import Callable

from mysticanvas import Image, Images
from mysticanvas.session.page import Page

MakeImage = Callable[..., Image]


def nothing_follows(cursor: str) -> Page:
    raise AssertionError(cursor)


def test_pages_follow_their_cursors_to_an_empty_one(make_image: MakeImage) -> None:
    images = Images(make_image(k) for k in range(3))

    def turn(cursor: str) -> Page:
        assert cursor == "second"
        return Page(images[2:], None, turn, lambda: 3)

    page = Page(images[:2], "second", turn, lambda: 3)
    seen: list[Image] = []
    while page:
        assert page.total == 3
        seen += page
        page = page.next()
    assert seen == list(images)
    assert page._repr_png_() is None
    assert repr(page) == "<Page 0 of 3>"


def test_pictures_are_counted_when_that_is_wanted_and_once(make_image: MakeImage) -> None:
    counted = []

    def count() -> int:
        counted.append(7)
        return 7

    page = Page(Images([make_image()]), None, nothing_follows, count)
    assert len(page) == 1
    assert not counted
    assert (page.total, page.total) == (7, 7)
    assert len(counted) == 1


def test_a_page_is_a_sequence_and_a_table(make_image: MakeImage) -> None:
    images = Images(make_image(k) for k in range(2))
    page = Page(images, None, nothing_follows, lambda: 2)
    assert page[0] == page.items[0]
    assert [image.seed for image in page[:1]] == [7]
    table = page.to_pandas()
    assert list(table["id"]) == [image.id for image in images]
    assert list(table["seed"]) == [7, 8]
    assert set(table["scheduler"]) == {"DDIMScheduler"}
    empty = Page(Images(), None, nothing_follows, lambda: 0).to_pandas()
    assert list(empty.columns) == list(table.columns)
