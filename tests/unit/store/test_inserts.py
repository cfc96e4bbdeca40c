"""Rows into a table, a few and many, by either way the same."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from mysticanvas.contracts.ids import new_id
from mysticanvas.errors import StoreError
from mysticanvas.store import Store
from mysticanvas.store.inserts import FEW

BOTH = pytest.mark.parametrize("count", [1, FEW, FEW + 1, 3_000])


@pytest.fixture
def table(store: Store) -> str:
    with store.database.write() as transaction:
        transaction.run(
            "CREATE TABLE things (n BIGINT PRIMARY KEY, id UUID, seed UBIGINT, note VARCHAR,"
            " data JSON, moment TIMESTAMP, given BOOLEAN DEFAULT true)"
        )
    return "things"


def things(count: int) -> list[dict[str, Any]]:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901)
    return [
        {"n": n, "id": new_id(), "seed": 2**64 - 1 - n, "note": None, "data": '{"a":"ключ 城"}',
         "moment": moment}
        for n in range(count)
    ]  # fmt: skip


@BOTH
def test_rows_are_read_as_they_were_given(
    store: Store, table: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in the orchestrator.
    monkeypatch.setitem(sys.modules, "pandas", None)
    given = things(count)
    with store.database.write() as transaction:
        transaction.insert(table, given)
    read = store.database.read(
        "SELECT n, id::VARCHAR AS id, seed, note, data, moment, given FROM things ORDER BY n"
    )
    assert read == [row | {"given": True} for row in given]


@BOTH
def test_of_rows_that_do_not_all_fit_none_is_kept(store: Store, table: str, count: int) -> None:
    given = [*things(count), {**things(1)[0], "n": count - 1}]
    with pytest.raises(StoreError, match="(?i)duplicate key"), store.database.write() as writing:
        writing.insert(table, given)
    assert store.database.read("SELECT * FROM things") == []


@BOTH
def test_text_that_is_no_unicode_is_refused(store: Store, table: str, count: int) -> None:
    given = things(count)
    given[-1]["note"] = "\ud800"
    with pytest.raises(StoreError, match="cannot be stored"), store.database.write() as writing:
        writing.insert(table, given)
    assert store.database.read("SELECT * FROM things") == []


def test_nothing_may_be_inserted(store: Store, table: str) -> None:
    with store.database.write() as transaction:
        transaction.insert(table, [])
    assert store.database.read("SELECT * FROM things") == []


@pytest.mark.parametrize("spoil", ["other commit", "no commit"])
def test_places_in_the_order_of_recording_only_rise(store: Store, maker: Any, spoil: str) -> None:
    add: Callable[[], None] = lambda: store.images.add([maker.image(new_id())])  # noqa: E731
    add()
    with pytest.raises(ZeroDivisionError), store.database.write() as transaction:
        store.images.insert(transaction, [maker.image(new_id())])
        raise ZeroDivisionError
    if spoil == "other commit":
        store.facts.set("count", 1)
    add()
    add()
    seqs = [card.seq for card in store.images.page().items]
    assert seqs == sorted(set(seqs), reverse=True)
    assert len(seqs) == 3
