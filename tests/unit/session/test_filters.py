"""Keywords that choose pictures: what they mean, and what is refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from mysticanvas import Image, InvalidRequest
from mysticanvas.contracts.filters import ImageFilters
from mysticanvas.contracts.ids import new_id
from mysticanvas.session.collections.images import ImageCollection
from mysticanvas.session.filters import ALLOWED, Filters, parse

ID = new_id()
HALF_PAST_TWO = timezone(timedelta(hours=2, minutes=30))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({}, {}),
        ({"tags": None, "seed": None}, {}),
        ({"tags": "castle"}, {"tags": ["castle"]}),
        ({"any_tags": ("castle", "noir")}, {"any_tags": ["castle", "noir"]}),
        ({"not_tags": []}, {}),
        ({"starred": False, "min_rating": 0}, {"starred": False, "min_rating": 0}),
        ({"seed": np.int64(7)}, {"seed": 7}),
        ({"ids": ID.upper()}, {"ids": [ID]}),
        ({"ids": []}, {"ids": []}),
        ({"job": ID, "parent": ID}, {"job": ID, "parent": ID}),
        ({"since": date(2026, 5, 4)}, {"since": datetime(2026, 5, 4, tzinfo=UTC)}),
        ({"until": "2026-05-04"}, {"until": datetime(2026, 5, 4, tzinfo=UTC)}),
        ({"until": "2026-05-04T03:02Z"}, {"until": datetime(2026, 5, 4, 3, 2, tzinfo=UTC)}),
        ({"since": datetime(2026, 5, 4, 3)}, {"since": datetime(2026, 5, 4, 3, tzinfo=UTC)}),
        (
            {"since": datetime(2026, 5, 4, 3, tzinfo=HALF_PAST_TWO)},
            {"since": datetime(2026, 5, 4, 0, 30, tzinfo=UTC)},
        ),
    ],
)
def test_keywords_mean_filters(given: dict[str, Any], meant: dict[str, Any]) -> None:
    assert parse(given, None) == ImageFilters(**meant)


def test_a_length_of_time_is_that_long_ago() -> None:
    before = datetime.now(UTC)
    since = parse({"since": timedelta(days=1)}, None).since
    assert since is not None
    assert before <= since + timedelta(days=1) <= datetime.now(UTC)


def test_a_picture_stands_for_its_id(make_image: Callable[..., Image]) -> None:
    image, other = make_image(0), make_image(1)
    assert parse({"ids": image, "parent": other}, None) == ImageFilters(
        ids=[image.id], parent=other.id
    )
    assert parse({"ids": [image, other.id]}, None).ids == [image.id, other.id]


def test_the_project_is_the_canvases_own_unless_given() -> None:
    assert parse({}, "castle").project == "castle"
    assert parse({"project": None}, "castle").project == "castle"
    assert parse({"project": "sea"}, "castle").project == "sea"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tags", 3),
        ("tags", ["castle", 3]),
        ("tags", {"castle": 1}),
        ("tags", "x" * 201),
        ("any_tags", ["x"] * 101),
        ("preset", 3),
        ("style", ["ink"]),
        ("starred", 1),
        ("starred", "yes"),
        ("min_rating", 6),
        ("min_rating", -1),
        ("min_rating", True),
        ("min_rating", 2.5),
        ("seed", -1),
        ("seed", 2**64),
        ("seed", "7"),
        ("since", 3),
        ("since", "yesterday"),
        ("since", ""),
        ("until", timedelta.max),
        ("until", datetime(1, 1, 1, tzinfo=HALF_PAST_TWO)),
        ("width", 0),
        ("height", 2**31),
        ("project", 3),
        ("project", "\ud800"),
        ("ids", "1f0a9c2e"),
        ("ids", 3),
        ("ids", [ID] * 501),
        ("job", "1f0a9c2e"),
        ("parent", "x" * 36),
        ("source", "import"),
    ],
)
def test_what_is_not_allowed_is_named(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse({name: value}, None)
    assert caught.value.parameter == name
    assert caught.value.allowed == ALLOWED[name]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("tag", "tags"),
        ("rating", "min_rating"),
        ("minrating", "min_rating"),
        ("size", "width"),
        ("before", "until"),
        ("favorite", "starred"),
        ("n", "limit"),
        ("limits", "limit"),
        ("order_by", "sort"),
    ],
)
def test_an_unknown_name_gets_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(InvalidRequest, match=f"Did you mean '{nearest}'") as caught:
        parse({name: 3}, None)
    assert caught.value.parameter == name


def test_a_name_like_no_other_gets_them_all() -> None:
    with pytest.raises(InvalidRequest, match="There are: limit, cursor, sort, tags, .*not_tags"):
        parse({"xyzzy": 3}, None)
    with pytest.raises(InvalidRequest, match="There are: limit, sort, tags"):
        parse({"page": 3}, None, beside=("limit", "sort"))


def test_keywords_of_the_kernel_are_the_filters_and_each_says_what_is_allowed() -> None:
    ours = {"request_hash", "recipe_hash"}
    assert Filters.__annotations__.keys() == ALLOWED.keys()
    assert ALLOWED.keys() == ImageFilters.model_fields.keys() - ours


@pytest.mark.parametrize("call", [ImageCollection.__call__, ImageCollection.list])
def test_a_notebook_can_complete_every_keyword(call: Callable[..., Any]) -> None:
    assert inspect.signature(call).parameters.keys() >= Filters.__annotations__.keys()
