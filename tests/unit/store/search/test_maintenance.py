"""Steps of maintenance: which, and that they hold nobody up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from mysticanvas.errors import StoreBusy, StoreError
from mysticanvas.home import HomePaths
from mysticanvas.store import Store
from mysticanvas.store.search import maintenance
from mysticanvas.store.search.maintenance import Due, Maintenance, due


@pytest.mark.parametrize(
    ("backlog", "images", "step"),
    [
        (0, {}, Due()),
        (maintenance.MIN_BATCH - 1, {0: 100}, Due()),
        (maintenance.MIN_BATCH, {}, Due(batch=True)),
        (0, {0: 16_000}, Due(merge=0)),
        (5_000, {0: 16_000, 1: 128_000}, Due(merge=1)),
        (0, {2: 10_000_000}, Due()),
    ],
)
def test_what_is_due(backlog: int, images: dict[int, int], step: Due) -> None:
    assert due(backlog, images) == step


def counts(store: Store) -> dict[str, int]:
    tables = [f"search_postings_{level}" for level in range(3)] + ["search_stale", "search_texts"]
    return {
        table: store.database.read(f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in tables
    }


def test_segments_move_up_the_levels(shelf: Any, eager: Callable[..., None]) -> None:
    eager()
    shelf.add(*(["red castle"] * 58))
    shelf.index()
    assert counts(shelf.store) == {
        "search_postings_0": 2 * 8,
        "search_postings_1": 2 * 10,
        "search_postings_2": 2 * 40,
        "search_stale": 0,
        "search_texts": 58,
    }
    runs = shelf.store.database.read(
        "SELECT term < lag(term) OVER (ORDER BY rowid) AS falls FROM search_postings_2"
    )
    assert sum(bool(row["falls"]) for row in runs) == 0
    assert len(shelf.find("castle")) == 58


def test_a_few_pictures_are_left_to_the_tail(shelf: Any) -> None:
    shelf.add(*(["red"] * 3))
    assert not shelf.store.search.maintain(60)
    assert counts(shelf.store)["search_texts"] == 0


def test_a_budget_ends_after_a_step(shelf: Any, eager: Callable[..., None]) -> None:
    eager()
    shelf.add(*(["red"] * 12))
    assert [shelf.store.search.maintain(0) for _ in range(4)] == [True, True, True, False]


def test_segments_are_larger_while_nobody_asks(shelf: Any, eager: Callable[..., None]) -> None:
    eager(idle=12, levels=(100, 200, None))
    shelf.add(*(["red"] * 40))
    for asks in (False, False, True):
        if asks:
            shelf.store.images.count()
        shelf.store.search.maintain(0)
    sizes = shelf.store.database.read("SELECT images FROM search_segments ORDER BY rowid")
    assert [row["images"] for row in sizes] == [5, 12, 5]


def test_a_tail_that_is_too_long_is_indexed_by_the_search(
    shelf: Any, eager: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    eager()
    monkeypatch.setattr("mysticanvas.store.search.tail.MAX_IMAGES", 4)
    shelf.add(*(["red"] * 12))
    assert len(shelf.find("red")) == 12
    assert counts(shelf.store)["search_texts"] >= 8


def test_a_search_takes_its_share_and_says_how_much_is_left(
    shelf: Any, eager: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    eager(levels=(100, 200, None))
    monkeypatch.setattr("mysticanvas.store.search.tail.MAX_IMAGES", 4)
    monkeypatch.setattr("mysticanvas.store.search.search.CATCH_UP_S", 0)
    shelf.add(*(["red"] * 18))
    for left in (13, 8):
        with pytest.raises(StoreBusy, match=f"being made; {left} pictures are not in it"):
            shelf.find("red")
    assert len(shelf.find("red")) == 18


def test_searches_do_not_wait_for_one_that_indexes(
    shelf: Any, eager: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    eager()
    monkeypatch.setattr("mysticanvas.store.search.tail.MAX_IMAGES", 4)
    shelf.add(*(["red"] * 8))
    reached, go_on = threading.Event(), threading.Event()
    index = Maintenance._index

    def pause(self: Maintenance, batch: Any) -> None:
        reached.set()
        assert go_on.wait(60)
        index(self, batch)

    monkeypatch.setattr(Maintenance, "_index", pause)
    found: list[list[int]] = []
    first = threading.Thread(target=lambda: found.append(shelf.find("red")))
    first.start()
    try:
        assert reached.wait(60)
        monkeypatch.setattr("mysticanvas.store.search.search.CATCH_UP_S", 0.01)
        with pytest.raises(StoreBusy, match="8 pictures"):
            shelf.find("red")
    finally:
        go_on.set()
        first.join()
    assert [len(seqs) for seqs in found] == [8]


def test_a_step_holds_up_neither_the_writer_nor_readers_and_loses_no_change(
    shelf: Any, eager: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    eager(largest=20)
    shelf.add(*(["red castle"] * 6))
    shelf.index()
    shelf.tag(2, "noir")
    shelf.add("red")
    reached, go_on = threading.Event(), threading.Event()
    index = Maintenance._index

    def pause(self: Maintenance, batch: Any) -> None:
        index(self, batch)
        reached.set()
        assert go_on.wait(60)

    monkeypatch.setattr(Maintenance, "_index", pause)
    thread = threading.Thread(target=shelf.store.search.maintain)
    thread.start()
    try:
        assert reached.wait(60)
        shelf.add("red lighthouse")
        shelf.tag(2, "night")
        shelf.tag(3, "rain")
        shelf.store.checkpoint()
        expected = {"night": [2], "noir": [2], "rain": [3], "lighthouse": [8]}
        assert {text: shelf.find(text) for text in expected} == expected
    finally:
        go_on.set()
        thread.join()
    monkeypatch.undo()
    assert counts(shelf.store)["search_stale"] == 2
    for _ in range(2):
        assert {text: shelf.find(text) for text in expected} == expected
        assert len(shelf.find("red")) == 8
        eager()
        shelf.index()


def test_a_step_that_fails_leaves_the_index_as_it_was(
    shelf: Any, eager: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    eager()
    shelf.add(*(["red castle"] * 4))
    shelf.index()
    shelf.tag(1, "noir")
    before = counts(shelf.store)

    def fail(*_: object) -> None:
        raise StoreError("The disk is gone.")

    with monkeypatch.context() as patch:
        patch.setattr(Maintenance, "_index", fail)
        with pytest.raises(StoreError, match="gone"):
            shelf.store.search.maintain()
    assert counts(shelf.store) == before
    assert shelf.find("noir") == [1]
    shelf.index()
    assert shelf.find("noir") == [1]


def test_the_index_is_there_after_reopening(
    paths: HomePaths, shelf_of: Any, eager: Callable[..., None]
) -> None:
    eager()
    with Store.open(paths) as store:
        shelf = shelf_of(store)
        shelf.add(*(["red castle"] * 9))
        shelf.index()
        before = counts(store)
    with Store.open(paths) as store:
        assert counts(store) == before
        assert len(shelf_of(store).find("castle")) == 9
