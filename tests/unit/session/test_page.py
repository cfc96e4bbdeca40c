from collections.abc import Callable

from mysticanvas import Image
from mysticanvas.contracts.images import ImagePage
from mysticanvas.session.connection import Connection
from mysticanvas.session.page import Page


def test_pages_follow_their_cursors_to_an_empty_one(
    make_image: Callable[..., Image], connection: Connection
) -> None:
    records = [make_image(k)._record for k in range(3)]

    def turn(cursor: str) -> Page:
        assert cursor == "second"
        return Page(ImagePage(items=records[2:], total=3), connection, turn)

    page = Page(ImagePage(items=records[:2], next_cursor="second", total=3), connection, turn)
    seen = []
    while page:
        assert page.total == 3
        seen += [image.id for image in page]
        page = page.next()
    assert seen == [record.id for record in records]
    assert page._repr_png_() is None
    assert repr(page) == "<Page 0 of 3>"


def test_a_page_is_a_sequence_and_a_table(
    make_image: Callable[..., Image], connection: Connection
) -> None:
    records = [make_image(k)._record for k in range(2)]
    page = Page(ImagePage(items=records, total=2), connection, lambda _: page)
    assert page[0] == page.items[0]
    assert [image.seed for image in page[:1]] == [7]
    table = page.to_pandas()
    assert list(table["id"]) == [record.id for record in records]
    assert list(table["seed"]) == [7, 8]
    assert set(table["scheduler"]) == {"DDIMScheduler"}
    empty = Page(ImagePage(items=[], total=0), connection, lambda _: page).to_pandas()
    assert list(empty.columns) == list(table.columns)
