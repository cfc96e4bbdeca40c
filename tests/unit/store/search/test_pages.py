"""Pages of a search are those of page one, whatever happens meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from mysticanvas.contracts.search import SearchSort
from mysticanvas.errors import InvalidRequest
from mysticanvas.store.connection import Transaction
from mysticanvas.store.search import ranking
from mysticanvas.store.search.position import Position

PROMPTS = [f"red castle number{k % 3}" + " blue" * (k % 4) for k in range(30)]


@pytest.mark.usefixtures("ranker")
@pytest.mark.parametrize(
    ("text", "sort"),
    [
        *((text, "best") for text in ("red", "blue number1", "number*", "castle -number2", "")),
        ("-blue", "best"),
        ("red", "newest"),
        ("castle -number2", "oldest"),
        ("-blue", "oldest"),
    ],
)
def test_new_pictures_and_maintenance_leave_the_pages_as_they_are(
    shelf: Any, eager: Callable[..., None], text: str, sort: SearchSort
) -> None:
    eager()
    shelf.add(*PROMPTS)
    shelf.index()
    shelf.add(*PROMPTS[:9])
    search = shelf.store.search.search
    whole = search(text, 1000, sort=sort)
    seqs, scores, cursor = [], [], None
    while True:
        page = search(text, 4, cursor, sort=sort)
        assert page.total == whole.total
        seqs += page.seqs
        scores += page.scores
        cursor = page.next_cursor
        if cursor is None:
            break
        # Everything is rarer and longer than before: each score changes for a new search.
        shelf.add("red red blue castle number1", "green")
        shelf.index()
    assert (seqs, scores) == (whole.seqs, whole.scores)


@pytest.mark.usefixtures("ranker")
@pytest.mark.parametrize("text", ["red", '"red castle" blue', "-blue"])
def test_what_is_found_may_come_in_the_order_of_recording(
    shelf: Any, eager: Callable[..., None], text: str
) -> None:
    """Partly out of the index and partly out of the tail, with the scores of the ranked page."""
    eager()
    shelf.add(*PROMPTS)
    shelf.index()
    shelf.add(*PROMPTS[:9])
    best, newest, oldest = (
        shelf.store.search.search(text, 1000, sort=sort) for sort in ("best", "newest", "oldest")
    )
    assert oldest.seqs == sorted(best.seqs)
    assert newest.seqs == oldest.seqs[::-1]
    scores = dict(zip(best.seqs, best.scores, strict=True))
    assert newest.scores == [scores[seq] for seq in newest.seqs]
    assert best.total == newest.total == oldest.total == len(best.seqs)
    for sort, whole in (("newest", newest), ("oldest", oldest)):
        first = shelf.store.search.search(text, 3, sort=sort)
        assert first.seqs == whole.seqs[:3]
        with pytest.raises(InvalidRequest):
            shelf.store.search.search(text, 3, first.next_cursor)


def test_pages_are_whole_beside_threads_that_add_and_maintain(
    shelf: Any, eager: Callable[..., None]
) -> None:
    eager()
    shelf.add(*PROMPTS)
    search = shelf.store.search.search
    whole = search("red blue", 1000)
    page = search("red blue", 3)
    seqs = list(page.seqs)
    done = threading.Event()
    failures: list[Exception] = []
    turned = threading.Semaphore(0)

    def busy(act: Callable[[], Any]) -> Callable[[], None]:
        def loop() -> None:
            try:
                while not done.is_set():
                    act()
                    turned.release()
            except Exception as error:  # noqa: BLE001
                failures.append(error)
                turned.release()

        return loop

    acts = (lambda: shelf.add("red blue"), lambda: shelf.store.search.maintain(0))
    threads = [threading.Thread(target=busy(act)) for act in acts]
    for thread in threads:
        thread.start()
    try:
        while page.next_cursor is not None:
            assert turned.acquire(timeout=60)
            page = search("red blue", 3, page.next_cursor)
            seqs += page.seqs
            latest = search("red blue", 1000)
            assert len(latest.seqs) == len(set(latest.seqs)) >= len(PROMPTS)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert seqs == whole.seqs


def test_a_page_that_came_too_late_takes_nothing_from_another_search(
    shelf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks for a newer tail in the very moment when the other search has read one."""
    shelf.add(*PROMPTS)
    ranked, commit = ranking.ranked, Transaction.commit
    began, has_read, too_late = (threading.Event() for _ in range(3))
    found: list[list[int]] = []

    def come_too_late(*arguments: Any) -> Any:
        if threading.current_thread() is not late or too_late.is_set():
            return ranked(*arguments)
        began.set()
        assert has_read.wait(60)
        too_late.set()
        return None

    def commit_slowly(transaction: Transaction) -> None:
        commit(transaction)
        if threading.current_thread() is not late:
            has_read.set()
            assert too_late.wait(60)
            time.sleep(0.05)

    monkeypatch.setattr(ranking, "ranked", come_too_late)
    late = threading.Thread(target=lambda: found.append(shelf.find("red")))
    late.start()
    assert began.wait(60)
    shelf.add("red")
    monkeypatch.setattr(Transaction, "commit", commit_slowly)
    found.append(shelf.find("red"))
    late.join()
    assert [len(seqs) for seqs in found] == [31, 31]


def test_a_picture_that_is_deleted_leaves_the_others_where_they_are(
    shelf: Any, eager: Callable[..., None]
) -> None:
    eager()
    shelf.add(*PROMPTS)
    shelf.index()
    whole = shelf.store.search.search("red", 1000).seqs
    page = shelf.store.search.search("red", 10)
    shelf.delete(whole[12])
    shelf.index()
    rest = shelf.store.search.search("red", 1000, page.next_cursor)
    assert page.seqs + rest.seqs == whole[:12] + whole[13:]


@pytest.mark.parametrize("other", ["blue", "red tag:noir", '"red"', "-red", ""])
def test_a_cursor_belongs_to_its_query(shelf: Any, other: str) -> None:
    shelf.add(*PROMPTS)
    page = shelf.store.search.search('red "red castle"', 5)
    assert page.next_cursor
    with pytest.raises(InvalidRequest, match="another query"):
        shelf.store.search.search(other, 5, page.next_cursor)
    assert shelf.store.search.search(' Red, "red castle" ', 5, page.next_cursor).seqs


def test_a_cursor_of_something_else_is_refused(shelf: Any) -> None:
    shelf.add(*PROMPTS)
    cursor = shelf.store.search.search("red", 5).next_cursor
    for broken in ("", "x", cursor[:-4], cursor[4:], cursor.swapcase()):
        with pytest.raises(InvalidRequest):
            shelf.store.search.search("red", 5, broken)


def test_a_position_survives_its_cursor() -> None:
    position = Position(9, 2**40, 7, 30, 5.25, (0.1, 2.5))
    assert Position.decode(position.encode({"text": "red"}), {"text": "red"}) == position
