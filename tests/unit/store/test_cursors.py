"""Cursors are opaque, whole and bound to their query."""

from __future__ import annotations

import base64
import string
from collections.abc import Callable

import pytest

from mysticanvas.contracts.filters import ImageFilters
from mysticanvas.errors import InvalidRequest
from mysticanvas.store.cursors import Cursors

CURSORS = Cursors("images", "q")
QUERY = {"project": "castle", "sort": "newest"}


@pytest.mark.parametrize("seq", [0, 1, 1_000_000, 2**63 - 1])
def test_a_cursor_holds_its_position(seq: int) -> None:
    assert CURSORS.decode(CURSORS.encode((seq,), QUERY), QUERY) == (seq,)


def test_a_position_may_have_several_numbers() -> None:
    ranked = Cursors("search", "dqq")
    assert ranked.decode(ranked.encode((0.1, 2, -3), QUERY), QUERY) == (0.1, 2, -3)


def test_filters_are_a_query_and_their_defaults_do_not_count() -> None:
    filters = ImageFilters(tags=["castle"])
    cursor = CURSORS.encode((3,), filters)
    assert CURSORS.decode(cursor, ImageFilters(tags=["castle"], starred=None)) == (3,)
    with pytest.raises(InvalidRequest, match="another query"):
        CURSORS.decode(cursor, ImageFilters(tags=["castle"], starred=False))


def test_every_changed_character_is_noticed() -> None:
    cursor = CURSORS.encode((12,), QUERY)
    alphabet = string.ascii_letters + string.digits + "-_"
    for place, old in enumerate(cursor):
        for new in alphabet.replace(old, ""):
            with pytest.raises(InvalidRequest):
                CURSORS.decode(cursor[:place] + new + cursor[place + 1 :], QUERY)


CHANGES: list[Callable[[str], str]] = [
    str.lower,
    lambda cursor: cursor[:-4],
    lambda cursor: cursor + "AAAA",
    lambda cursor: cursor + "=",
    lambda _: "",
    lambda _: "AAAA",
    lambda _: "é",
    lambda _: "\ud800",
]


@pytest.mark.parametrize("change", CHANGES)
def test_other_text_is_refused(change: Callable[[str], str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        CURSORS.decode(change(CURSORS.encode((12,), QUERY)), QUERY)
    assert caught.value.parameter == "cursor"


OTHERS = [
    (CURSORS, {"project": "castle", "sort": "oldest"}),
    (CURSORS, {"project": "castle"}),
    (CURSORS, {"project": None, "sort": "newest"}),
    (Cursors("jobs", "q"), QUERY),
    (Cursors("images", "qq"), QUERY),
]


@pytest.mark.parametrize(("reader", "query"), OTHERS)
def test_another_query_or_kind_is_refused(reader: Cursors, query: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest, match="another query"):
        reader.decode(CURSORS.encode((12,), QUERY), query)


def test_the_order_of_filters_does_not_matter() -> None:
    cursor = CURSORS.encode((3,), QUERY)
    assert CURSORS.decode(cursor, dict(reversed(QUERY.items()))) == (3,)


def test_a_cursor_goes_into_a_url_as_it_is() -> None:
    cursor = CURSORS.encode((2**62,), QUERY)
    assert base64.urlsafe_b64decode(cursor)
    assert not set(cursor) & set("+/=&?")
