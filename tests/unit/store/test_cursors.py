"""Cursors are opaque, whole and bound to their query."""

from __future__ import annotations

import base64
import string
from collections.abc import Callable

import pytest

from mysticanvas.errors import InvalidRequest
from mysticanvas.store import cursors

FILTERS = {"project": "castle", "job": None}


@pytest.mark.parametrize("seq", [1, 1_000_000, 2**63 - 1])
def test_a_cursor_holds_its_position(seq: int) -> None:
    assert cursors.decode(cursors.encode(seq, FILTERS), FILTERS) == seq


def test_every_changed_character_is_noticed() -> None:
    cursor = cursors.encode(12, FILTERS)
    alphabet = string.ascii_letters + string.digits + "-_"
    for place, old in enumerate(cursor):
        for new in alphabet.replace(old, ""):
            with pytest.raises(InvalidRequest):
                cursors.decode(cursor[:place] + new + cursor[place + 1 :], FILTERS)


CHANGES: list[Callable[[str], str]] = [
    str.lower,
    lambda cursor: cursor[:-4],
    lambda cursor: cursor + "AAAA",
    lambda cursor: cursor + "=",
    lambda _: "",
    lambda _: "é",
    lambda _: "\ud800",
]


@pytest.mark.parametrize("change", CHANGES)
def test_other_text_is_refused(change: Callable[[str], str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        cursors.decode(change(cursors.encode(12, FILTERS)), FILTERS)
    assert caught.value.parameter == "cursor"


def test_another_query_is_refused() -> None:
    cursor = cursors.encode(12, FILTERS)
    for other in ({"project": "castle", "job": "x"}, {"project": None, "job": None}):
        with pytest.raises(InvalidRequest, match="another query"):
            cursors.decode(cursor, other)


def test_the_order_of_filters_does_not_matter() -> None:
    assert cursors.decode(cursors.encode(3, FILTERS), dict(reversed(FILTERS.items()))) == 3


def test_a_cursor_goes_into_a_url_as_it_is() -> None:
    assert base64.urlsafe_b64decode(cursors.encode(2**62, FILTERS))
    assert not set(cursors.encode(2**62, FILTERS)) & set("+/=&?")
