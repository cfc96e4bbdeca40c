"""Pages walk the table in windows, and stay what they are while pictures arrive."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings, strategies as st

from mysticanvas.contracts import ids
from mysticanvas.contracts.filters import ImageFilters, Sort
from mysticanvas.store import Store, pages
from mysticanvas.store.pages import GROWTH, Walk, among, next_size

STEADY = settings(deadline=None, derandomize=True)
SIZES = st.lists(st.integers(1, 50), min_size=1, max_size=20)


@STEADY
@given(sort=st.sampled_from(["newest", "oldest"]), last=st.integers(0, 200), sizes=SIZES)
def test_a_walk_passes_every_row_once_in_order(sort: Sort, last: int, sizes: list[int]) -> None:
    walk = Walk(sort, None, last)
    rows: list[int] = []
    for size in itertools.cycle(sizes):
        if walk.done:
            break
        window = walk.step(size)
        assert window.high - window.low == size
        inside = [seq for seq in range(window.low, window.high) if 1 <= seq <= last]
        rows += inside if sort == "oldest" else inside[::-1]
    expected = list(range(1, last + 1))
    assert rows == (expected if sort == "oldest" else expected[::-1])


def test_a_walk_begins_behind_a_row() -> None:
    assert Walk("newest", 10, 99).step(3) == (7, 10)
    assert Walk("oldest", 10, 99).step(3) == (11, 14)
    assert Walk("newest", 1, 99).done
    assert Walk("oldest", 99, 99).done


@STEADY
@given(
    size=st.integers(1, 10**6),
    found=st.integers(0, 10**6),
    missing=st.integers(1, 1000),
)
def test_windows_grow_by_what_was_found(size: int, found: int, missing: int) -> None:
    following = next_size(size, found, missing)
    assert 1 <= following <= size * GROWTH
    assert found or following == size * GROWTH


@STEADY
@given(seqs=st.lists(st.integers(1, 60), min_size=1, unique=True))
def test_rows_are_named_by_their_numbers(seqs: list[int]) -> None:
    condition = among("seq", seqs)
    rows = duckdb.sql(f"SELECT seq FROM range(80) AS t(seq) WHERE {condition}").fetchall()
    assert sorted(seq for (seq,) in rows) == sorted(seqs)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows so small that a page takes many, some of them read at once and some picked."""
    monkeypatch.setattr(pages, "SMALL", 4)
    monkeypatch.setattr(pages, "FIRST_WINDOW", 2)
    monkeypatch.setattr(pages, "GROWTH", 2)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("sort", ["newest", "oldest"])
@pytest.mark.parametrize("limit", [1, 5, 40])
def test_a_page_is_full_however_many_windows_it_takes(
    store: Store, maker: Any, sort: Sort, limit: int
) -> None:
    images = [maker.image(ids.new_id(), maker.recipe(seed=k % 9)) for k in range(60)]
    store.images.add(images)
    rare = ImageFilters(seed=3)
    expected = [image.id for image in images[3::9]]
    found, cursor = [], None
    while True:
        page = store.images.page(limit, cursor, rare, sort)
        found += [image.id for image in page.items]
        assert len(page.items) == limit or page.next_cursor is None
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == (expected if sort == "oldest" else expected[::-1])


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("sort", ["newest", "oldest"])
@pytest.mark.parametrize("holes", ["", "deleted", "project"])
@pytest.mark.parametrize("tags", [["rare"], ["rare", "often"], ["rare", "often", "absent"]])
def test_pages_by_tags_are_those_of_a_scan(
    store: Store, maker: Any, sort: Sort, holes: str, tags: list[str]
) -> None:
    """A tag that two sources gave counts once; what is deleted or elsewhere is passed over."""
    images = [
        maker.image(
            ids.new_id(),
            tags=("often", "rare") if k % 7 == 3 else ("often",) if k % 2 else (),
            project="other" if holes == "project" and k % 3 == 0 else "default",
        )
        for k in range(60)
    ]
    store.images.add(images)
    store.tags.add([4, 11], ["rare", "often"], "vision", confidence=0.5)
    if holes == "deleted":
        store.images.delete([images[k].id for k in (3, 24, 59)])
    there = {card.id for card in store.images.page(1000).items if card.project == "default"}
    expected = [image.id for image in images if "rare" in image.tags and image.id in there]
    filters = ImageFilters(tags=tags, project="default" if holes == "project" else None)
    found, cursor = [], None
    while True:
        page = store.images.page(2, cursor, filters, sort)
        found += [image.id for image in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    if "absent" in tags:
        expected = []
    assert found == (expected if sort == "oldest" else expected[::-1])


@pytest.mark.parametrize("sort", ["newest", "oldest"])
def test_no_picture_twice_and_none_skipped_while_others_arrive(
    store: Store, maker: Any, sort: Sort
) -> None:
    before = [maker.image(ids.new_id()) for _ in range(40)]
    store.images.add(before)
    turned = threading.Semaphore(0)
    arrived = threading.Semaphore(0)

    def add() -> None:
        for _ in range(10):
            turned.acquire()
            store.images.add([maker.image(ids.new_id()) for _ in range(3)])
            arrived.release()

    writer = threading.Thread(target=add)
    writer.start()
    found, cursor = [], None
    for _ in range(10):
        page = store.images.page(4, cursor, sort=sort)
        # At least one picture comes before the next page, and another one during it.
        turned.release()
        arrived.acquire()
        found += page.items
        cursor = page.next_cursor
    writer.join()
    assert [image.id for image in found] == [
        image.id for image in (before if sort == "oldest" else before[::-1])
    ]
    if sort == "newest":
        assert cursor is None
        return
    rest = store.images.page(1000, cursor, sort=sort)
    assert len(rest.items) == 30
    assert [image.seq for image in (*found, *rest.items)] == list(range(1, 71))


def test_a_card_says_what_the_whole_record_says(store: Store, maker: Any) -> None:
    image = maker.image(ids.new_id(), parent=ids.new_id(), project="castle")
    store.images.add([image])
    [card] = store.images.page().items
    record = store.images.get(image.id)
    assert card.model_dump(exclude={"path"}) == record.model_dump(include=card.model_dump().keys())
    assert card.path == record.path == image.file.path
