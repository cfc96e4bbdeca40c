from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from mysticanvas.contracts.filters import ImageFilters
from mysticanvas.contracts.images import ImageCard, ImageChanges, ImagePage

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_filters_survive_json() -> None:
    filters = ImageFilters(tags=["a", "b"], not_tags=["ß"], starred=False, since=NOON, ids=[])
    assert ImageFilters.model_validate_json(filters.model_dump_json(exclude_defaults=True)) == (
        filters
    )


def test_one_moment_is_one_filter_whatever_its_zone() -> None:
    west = NOON.astimezone(timezone(timedelta(hours=-7)))
    texts = {ImageFilters(since=moment).model_dump_json() for moment in (NOON, west)}
    assert len(texts) == 1
    assert ImageFilters(since=NOON.replace(tzinfo=None)).since == NOON


@pytest.mark.parametrize(
    "values",
    [
        {"min_rating": 6},
        {"seed": 2**64},
        {"seed": -1},
        {"width": 0},
        {"width": 2**31},
        {"tags": ["x"] * 101},
        {"ids": ["x"] * 501},
        {"since": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))},
        {"source": "elsewhere"},
    ],
)
def test_what_no_picture_can_meet_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImageFilters(**values)


def test_a_page_survives_json() -> None:
    card = ImageCard(
        id="x",
        seq=3,
        job_id="y",
        batch_index=0,
        project="castle",
        prompt="замок 🏰",
        width=8,
        height=16,
        seed=2**64 - 1,
        preset="tiny",
        request_hash="0" * 64,
        created_at=NOON,
        path="images/00/0.png",
    )
    page = ImagePage(items=[card], next_cursor="abc")
    assert ImagePage.model_validate_json(page.model_dump_json()) == page


@pytest.mark.parametrize("body", [{"rating": True}, {"rating": 6}, {"starred": 1}, {"tags": []}])
def test_a_change_is_a_star_or_a_rating(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImageChanges.model_validate(body)
