from collections.abc import Callable

from mysticanvas import Canvas, Image, Images
from mysticanvas.contracts.ids import short
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
    assert page._repr_html_() == "<p>no more pictures</p>"
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


def test_a_notebook_shows_pictures_with_their_ids_and_where_others_are(
    make_image: MakeImage,
) -> None:
    images = Images(make_image(k) for k in range(2))
    shown = Page(images, "second", nothing_follows, lambda: 1234)._repr_html_()
    assert [short(image.id) in shown for image in images] == [True, True]
    assert shown.endswith("<p>a page of 2, of 1,234 pictures · .next() is the next page</p>")
    whole = Page(images, None, nothing_follows, lambda: 2)._repr_html_()
    assert whole.count("<img ") == 2
    assert whole.endswith("</div>")
    nothing = Page(Images(), None, nothing_follows, lambda: 0)
    assert nothing._repr_html_() == "<p>nothing found</p>"


def test_of_a_long_page_the_first_are_shown(make_image: MakeImage) -> None:
    page = Page(Images([make_image()] * 65), None, nothing_follows, lambda: 65)
    assert page._repr_html_().count("<img ") == 64
    assert page._repr_html_().endswith("<p>the first 64 of this page</p>")


def test_a_search_for_what_is_no_condition_says_so(canvas: Canvas) -> None:
    page = canvas.search("foo:<b>")
    assert page._repr_html_().startswith("<p>nothing found: foo: is looked for as a word")
    assert repr(page).startswith("<Page 0 of 0> foo: is looked for as a word")
    assert repr(canvas.search("foo")) == "<Page 0 of 0>"
