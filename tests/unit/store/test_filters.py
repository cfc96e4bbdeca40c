"""Filters find what a look at every picture finds, alone and together, page by page."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings, strategies as st

from mysticanvas.contracts import ids
from mysticanvas.contracts.filters import ImageFilters
from mysticanvas.contracts.images import ImageChanges, ImageRecord
from mysticanvas.errors import InvalidRequest
from mysticanvas.home import HomePaths
from mysticanvas.store import Store

PICTURES = 60
TAGS = ["castle", "noir", "sea", "unused"]
DAY = datetime(2026, 5, 4, tzinfo=UTC)


class Gallery(NamedTuple):
    """A store, and what is in it: every picture with its tags, oldest first."""

    store: Store
    pictures: list[tuple[ImageRecord, set[str]]]


@pytest.fixture(scope="module")
def gallery(
    tmp_path_factory: pytest.TempPathFactory, new_maker: Callable[[], Any]
) -> Iterator[Gallery]:
    with Store.open(HomePaths.of(tmp_path_factory.mktemp("gallery") / "home")) as store:
        yield Gallery(store, _fill(store, new_maker()))


def _fill(store: Store, maker: Any) -> list[tuple[ImageRecord, set[str]]]:
    dice = random.Random(7)
    jobs = [ids.new_id() for _ in range(20)]
    parents = [ids.new_id() for _ in range(3)]
    images = []
    for k in range(PICTURES):
        size = dice.choice([(16, 8), (8, 8), (16, 16)])
        recipe = maker.recipe(
            index=k // 20, num_images=3, seed=dice.randrange(3), width=size[0], height=size[1]
        ).model_copy(update={"preset": dice.choice(["tiny", "large"])})
        images.append(
            maker.image(
                jobs[k % 20],
                recipe,
                project=dice.choice(["default", "castle"]),
                source=dice.choice(["generate", "reproduce"]),
                parent=dice.choice([None, *parents]),
                created_at=DAY + timedelta(hours=dice.randrange(48)),
            )
        )
    store.images.add(images)
    tags = {image.id: {tag for tag in TAGS[:3] if dice.random() < 0.4} for image in images}
    _tag(store, tags)
    for image in images:
        if dice.random() < 0.5:
            store.images.change(image.id, ImageChanges(starred=True, rating=dice.randrange(6)))
    with store.database.write() as transaction:
        transaction.run("UPDATE images SET style = 'ink' WHERE seq % 3 = 0")
        transaction.run("UPDATE images SET deleted_at = created_at WHERE seq % 7 = 0")
    found = store.images.details([image.id for image in images])[::-1]
    return [(record, tags[record.id]) for record in found]


def _tag(store: Store, tags: dict[str, set[str]]) -> None:
    with store.database.write() as transaction:
        for number, name in enumerate(TAGS):
            transaction.run(
                "INSERT INTO tags VALUES ($id, $name, $name, $now)", id=number, name=name, now=DAY
            )
        for image, names in tags.items():
            # Twice, as two sources would.
            for number in 2 * [TAGS.index(name) for name in names]:
                transaction.run(
                    "INSERT INTO image_tags SELECT seq, $tag, 'user', NULL, NULL, created_at"
                    " FROM images WHERE id = $id",
                    id=image,
                    tag=number,
                )


Meets = Callable[[ImageRecord, set[str], Any], bool]
BY_HAND: dict[str, Meets] = {
    "tags": lambda _, tags, value: set(value) <= tags,
    "any_tags": lambda _, tags, value: not value or bool(set(value) & tags),
    "not_tags": lambda _, tags, value: not set(value) & tags,
    "min_rating": lambda image, _, value: image.rating is not None and image.rating >= value,
    "since": lambda image, _, value: image.created_at >= value,
    "until": lambda image, _, value: image.created_at < value,
    "ids": lambda image, _, value: image.id in value,
    "job": lambda image, _, value: image.job_id == value,
    **{
        name: lambda image, _, value, name=name: getattr(image, name) == value
        for name in (
            "preset",
            "style",
            "starred",
            "seed",
            "width",
            "height",
            "project",
            "parent",
            "source",
            "request_hash",
            "recipe_hash",
        )
    },
}


def test_every_filter_is_checked_by_hand() -> None:
    assert BY_HAND.keys() == ImageFilters.model_fields.keys()


def by_hand(gallery: Gallery, values: dict[str, Any]) -> list[str]:
    """The ids of the pictures that meet the filters, newest first."""
    return [
        image.id
        for image, tags in reversed(gallery.pictures)
        if all(BY_HAND[name](image, tags, value) for name, value in values.items())
    ]


def walk(gallery: Gallery, values: dict[str, Any], limit: int, sort: Any) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = gallery.store.images.page(limit, cursor, ImageFilters(**values), sort)
        assert len(page.items) <= limit
        found += [image.id for image in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


def some_values(gallery: Gallery) -> dict[str, list[Any]]:
    """For every filter, values that some pictures have and one that none has."""
    records = [image for image, _ in gallery.pictures]
    values: dict[str, list[Any]] = {
        "tags": [["castle"], ["castle", "noir"], ["noir", "noir"], ["unused"], ["nowhere"]],
        "any_tags": [["castle"], ["castle", "sea"], ["nowhere"], ["nowhere", "sea"]],
        "not_tags": [["castle"], ["castle", "sea"], ["nowhere"], ["nowhere", "sea"]],
        "min_rating": [0, 3, 5],
        "since": [DAY, DAY + timedelta(hours=30), DAY + timedelta(days=9)],
        "until": [DAY, DAY + timedelta(hours=30), DAY + timedelta(days=9)],
        "ids": [[records[0].id, records[9].id, ids.new_id()], [], [ids.new_id()]],
        "job": [records[4].job_id, ids.new_id()],
        "parent": [next(r.parent for r in records if r.parent), ids.new_id()],
        "starred": [True, False],
        "style": ["ink", "none"],
        "preset": ["tiny", "none"],
        "seed": [0, 2, 2**64 - 1],
        "width": [16, 8, 1],
        "height": [16, 8, 1],
        "project": ["castle", "none"],
        "source": ["generate", "reproduce"],
        "request_hash": [records[3].request_hash, "0" * 64],
        "recipe_hash": [records[3].recipe_hash, "0" * 64],
    }
    assert values.keys() == ImageFilters.model_fields.keys()
    return values


@pytest.mark.parametrize("name", ImageFilters.model_fields)
def test_a_filter_finds_what_looking_at_every_picture_finds(gallery: Gallery, name: str) -> None:
    for value in some_values(gallery)[name]:
        expected = by_hand(gallery, {name: value})
        assert walk(gallery, {name: value}, 1000, "newest") == expected
        assert gallery.store.images.count(ImageFilters(**{name: value})) == len(expected)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_filters_together_find_what_meets_them_all(gallery: Gallery, data: st.DataObject) -> None:
    choices = some_values(gallery)
    names = data.draw(st.sets(st.sampled_from(sorted(choices)), max_size=3))
    values = {name: data.draw(st.sampled_from(choices[name])) for name in sorted(names)}
    limit = data.draw(st.sampled_from([1, 7, 1000]))
    expected = by_hand(gallery, values)
    assert walk(gallery, values, limit, "newest") == expected
    assert walk(gallery, values, limit, "oldest") == expected[::-1]
    assert gallery.store.images.count(ImageFilters(**values)) == len(expected)


@pytest.mark.parametrize("values", [{"ids": ["1f0a"]}, {"job": "1f0a"}, {"parent": "x" * 36}])
def test_part_of_an_id_is_no_filter(gallery: Gallery, values: dict[str, Any]) -> None:
    for use in (gallery.store.images.page, gallery.store.images.count):
        with pytest.raises(InvalidRequest, match="whole id") as caught:
            use(filters=ImageFilters(**values))
        assert caught.value.parameter in values


def test_text_of_a_filter_is_never_sql(gallery: Gallery) -> None:
    hostile = "' OR TRUE --"
    for name in ("project", "preset", "style", "request_hash"):
        assert walk(gallery, {name: hostile}, 10, "newest") == []
    assert walk(gallery, {"tags": [hostile]}, 10, "newest") == []
