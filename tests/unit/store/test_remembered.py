"""What is kept in memory is never older than the last write."""

from __future__ import annotations

import pytest

from mysticanvas.store import Store
from mysticanvas.store.remembered import Bounded, Remembered


def test_it_is_read_once_until_something_is_written() -> None:
    values: Remembered[str, int] = Remembered()
    reads: list[str] = []

    def read() -> int:
        reads.append("read")
        return len(reads)

    assert [values.get("a", read), values.get("a", read)] == [1, 1]
    values.forget()
    assert values.get("a", read) == 2


def test_what_a_write_overtook_is_not_kept() -> None:
    values: Remembered[str, str] = Remembered()

    def read() -> str:
        values.forget()  # somebody writes between our reading and our keeping
        return "old"

    assert values.get("a", read) == "old"
    assert values.get("a", lambda: "new") == "new"


def test_a_failed_read_is_not_kept() -> None:
    values: Remembered[str, int] = Remembered()
    with pytest.raises(ZeroDivisionError):
        values.get("a", lambda: 1 // 0)
    assert values.get("a", lambda: 2) == 2


def test_a_home_with_many_names_does_not_fill_the_memory() -> None:
    values: Remembered[int, int] = Remembered()
    for number in range(5000):
        values.get(number, lambda number=number: number)  # type: ignore[misc]
    assert len(values._values) < 2000


def test_facts_change_at_once(store: Store) -> None:
    assert store.facts.get("name", "default") == "default"
    store.facts.set("name", [1])
    first = store.facts.get("name")
    assert isinstance(first, list)
    first.append(2)
    assert store.facts.get("name") == [1]
    store.facts.set("name", None)
    assert store.facts.get("name", "default") is None


def test_a_dictionary_that_is_bounded_begins_anew_when_it_is_full() -> None:
    values: Bounded[int, int] = Bounded()
    for number in range(5000):
        values[number] = number
    assert values[4999] == 4999
    assert len(values) < 2000
