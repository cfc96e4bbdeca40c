"""Pictures: what was recorded comes back, page by page."""

from __future__ import annotations

import dataclasses
from datetime import timedelta, timezone
from typing import Any

import pytest

from mysticanvas.contracts import ids
from mysticanvas.contracts.filters import ImageFilters
from mysticanvas.contracts.images import ImageChanges, ImageRecord
from mysticanvas.errors import InvalidRequest, NotFound, StoreError
from mysticanvas.settings import MAX_SEED
from mysticanvas.store import NewImage, Store

DUPLICATE = r"(?i)duplicate key"
UNKNOWN = "0190b2c4-7a11-7c3e-9d52-3f6e8a1b4c5d"
"""An id that nothing has."""


def added(store: Store, maker: Any, count: int, **changes: Any) -> list[str]:
    """Record pictures; their ids, oldest first."""
    images = [maker.image(ids.new_id(), **changes) for _ in range(count)]
    store.images.add(images)
    return [image.id for image in images]


def walk(store: Store, limit: int, **filters: Any) -> list[str]:
    """The ids of all pages, in order."""
    found: list[str] = []
    cursor = None
    while True:
        page = store.images.page(limit, cursor, ImageFilters(**filters))
        found += [image.id for image in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


def delete(store: Store, image_id: str) -> None:
    with store.database.write() as transaction:
        transaction.run("UPDATE images SET deleted_at = '2026-01-01' WHERE id = $id", id=image_id)


def test_a_picture_comes_back_as_it_was_recorded(store: Store, maker: Any) -> None:
    recipe = maker.recipe(seed=41, num_images=2, index=1, negative_prompt="blurry")
    image = maker.image(ids.new_id(), recipe, parent=ids.new_id(), source="reproduce")
    store.images.add([image])
    assert store.images.get(image.id) == ImageRecord(
        id=image.id,
        seq=1,
        job_id=image.job_id,
        batch_index=1,
        project="default",
        parent=image.parent,
        source="reproduce",
        prompt=recipe.params.prompt,
        width=16,
        height=8,
        mode="RGB",
        seed=42,
        preset="tiny",
        request_hash=recipe.request_hash,
        recipe_hash=recipe.hash,
        pixels_sha256=image.pixels_sha256,
        recipe=recipe,
        file=image.file,
        created_at=image.created_at,
    )


@pytest.mark.parametrize(
    "prompt", ["", "замок 城 🏰", "'; DROP TABLE images; --", "a\0b", "\n\t{}$1", "x" * 20_000]
)
def test_any_prompt_is_kept_as_it_is(store: Store, maker: Any, prompt: str) -> None:
    image = maker.image(ids.new_id(), maker.recipe(prompt=prompt))
    store.images.add([image])
    assert store.images.get(image.id).prompt == prompt
    assert store.images.get(image.id).recipe == image.recipe


def test_text_that_is_no_unicode_is_refused_whole(store: Store, maker: Any) -> None:
    images = [maker.image(ids.new_id()), maker.image(ids.new_id(), project="\ud800")]
    with pytest.raises(StoreError):
        store.images.add(images)
    assert store.images.count() == 0
    store.images.add(images[:1])


def test_the_last_picture_of_a_batch_with_the_largest_seed(store: Store, maker: Any) -> None:
    image = maker.image(ids.new_id(), maker.recipe(seed=MAX_SEED, num_images=64, index=63))
    store.images.add([image])
    assert store.images.get(image.id).seed == MAX_SEED + 63


def test_times_keep_their_moment_whatever_their_zone(store: Store, maker: Any) -> None:
    moment = maker.moment()
    zone = timezone(timedelta(hours=-7, minutes=-30))
    image = maker.image(ids.new_id(), created_at=moment.astimezone(zone))
    store.images.add([image])
    found = store.images.get(image.id).created_at
    assert found == moment
    assert found.utcoffset() == timedelta(0)


def test_seq_counts_up_in_the_order_of_recording(store: Store, maker: Any) -> None:
    first = added(store, maker, 3)
    second = added(store, maker, 2)
    assert [store.images.get(image).seq for image in first + second] == [1, 2, 3, 4, 5]


def test_one_bad_picture_keeps_its_batch_out(store: Store, maker: Any) -> None:
    [known] = added(store, maker, 1)
    with pytest.raises(StoreError, match=DUPLICATE):
        store.images.add([maker.image(ids.new_id()), maker.image(ids.new_id(), id=known)])
    assert store.images.count() == 1


@pytest.mark.parametrize("limit", [1, 3, 10, 11, 1000])
def test_pages_hold_everything_once_newest_first(store: Store, maker: Any, limit: int) -> None:
    recorded = added(store, maker, 10)
    assert walk(store, limit) == recorded[::-1]


def test_pages_stay_as_they_are_while_pictures_arrive(store: Store, maker: Any) -> None:
    recorded = added(store, maker, 6)
    first = store.images.page(2)
    added(store, maker, 3)
    second = store.images.page(2, first.next_cursor)
    assert [image.id for image in second.items] == [recorded[3], recorded[2]]
    assert store.images.count() == 9


def test_filters_hold_on_every_page(store: Store, maker: Any) -> None:
    job = ids.new_id()
    castle = [maker.image(job, maker.recipe(index=k, num_images=4), project="castle")
              for k in range(4)]  # fmt: skip
    store.images.add(castle)
    added(store, maker, 4)
    newest_first = [image.id for image in castle][::-1]

    assert walk(store, 3, project="castle") == newest_first
    assert walk(store, 3, job=job) == newest_first
    assert walk(store, 3, recipe_hash=castle[1].recipe.hash) == [castle[1].id]
    assert store.images.count(ImageFilters(project="castle")) == 4
    assert store.images.page(filters=ImageFilters(project="nowhere")).items == []


def test_a_cursor_belongs_to_its_query(store: Store, maker: Any) -> None:
    added(store, maker, 3)
    cursor = store.images.page(1).next_cursor
    with pytest.raises(InvalidRequest, match="another query"):
        store.images.page(1, cursor, ImageFilters(project="default"))
    with pytest.raises(InvalidRequest, match="another query"):
        store.images.page(1, cursor, sort="oldest")


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_page_has_1_to_1000_pictures(store: Store, limit: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        store.images.page(limit)
    assert caught.value.parameter == "limit"


def test_deleted_pictures_are_gone(store: Store, maker: Any) -> None:
    record = maker.recorded(store, size=2)
    kept, gone = (image.id for image in record.images)
    delete(store, gone)

    with pytest.raises(NotFound):
        store.images.get(gone)
    with pytest.raises(NotFound):
        store.images.find(gone[-8:])
    assert walk(store, 10) == [kept]
    assert store.images.count() == 1
    assert [image.id for image in store.images.of_job(record.id)] == [kept]
    assert store.images.by_request(record.images[0].request_hash) == []
    assert store.images.known([gone, kept, ids.new_id()]) == {gone, kept}


def test_a_request_gives_its_newest_complete_batch(store: Store, maker: Any) -> None:
    old, new = maker.batch(ids.new_id(), 3), maker.batch(ids.new_id(), 3)
    partial = maker.batch(ids.new_id(), 3)[1:]
    for batch in (old, new, partial):
        store.images.add(batch[::-1])
    request = old[0].recipe.request_hash

    assert [image.id for image in store.images.by_request(request)] == [i.id for i in new]
    assert store.images.by_request(request, "default")[0].id == new[0].id
    assert store.images.by_request(request, "castle") == []
    assert store.images.by_request("0" * 64) == []


def test_a_request_gives_its_newest_batch_of_a_number_format(store: Store, maker: Any) -> None:
    batches = {}
    for dtype in ("float32", "bfloat16"):
        [image] = maker.batch(ids.new_id(), 1)
        environment = image.recipe.environment.model_copy(update={"dtype": dtype})
        recipe = image.recipe.model_copy(update={"environment": environment})
        batches[dtype] = dataclasses.replace(image, recipe=recipe)
        store.images.add([batches[dtype]])
    request = batches["float32"].recipe.request_hash
    for dtype, image in batches.items():
        assert [i.id for i in store.images.by_request(request, dtype=dtype)] == [image.id]
    assert store.images.by_request(request, dtype="float16") == []
    assert [i.id for i in store.images.by_request(request)] == [batches["bfloat16"].id]


def test_the_pictures_of_several_jobs_at_once(store: Store, maker: Any) -> None:
    batches = [maker.batch(ids.new_id(), size) for size in (1, 3)]
    for batch in batches:
        store.images.add(batch[::-1])
    jobs = [batch[0].job_id for batch in batches]
    found = store.images.of_jobs([*jobs, ids.new_id()])
    assert {job: [image.id for image in made] for job, made in found.items()} == {
        batch[0].job_id: [image.id for image in batch] for batch in batches
    }
    assert store.images.of_jobs([]) == {}


def test_a_picture_is_found_by_a_part_of_its_id(store: Store, maker: Any) -> None:
    image = maker.image(ids.new_id(), project="castle")
    twin = maker.image(ids.new_id(), id=("0" if image.id[0] != "0" else "1") + image.id[1:])
    store.images.add([image, twin])

    assert store.images.find(image.id[:9]).id == image.id
    assert store.images.find(image.id.upper()).id == image.id
    assert store.images.find(image.id[-8:], project="castle").id == image.id
    with pytest.raises(InvalidRequest, match="only one image"):
        store.images.find(image.id[-8:])
    with pytest.raises(NotFound):
        store.images.find(image.id[:9], project="nowhere")


def test_stars_and_ratings_are_kept_and_change_nothing_else(store: Store, maker: Any) -> None:
    image, other = added(store, maker, 2)
    before = store.images.get(image)
    assert (before.starred, before.rating) == (False, None)

    starred = store.images.change(image, ImageChanges(starred=True))
    rated = store.images.change(image, ImageChanges(rating=0))
    assert starred == before.model_copy(update={"starred": True})
    assert rated == before.model_copy(update={"starred": True, "rating": 0})
    assert store.images.get(image) == rated
    assert store.images.change(image, ImageChanges(starred=False)).rating == 0
    assert store.images.get(other).rating is None


@pytest.mark.parametrize("missing", [UNKNOWN, "1f0a9c2e", "", "x" * 36])
def test_what_is_not_there_cannot_be_rated(store: Store, missing: str) -> None:
    with pytest.raises(NotFound):
        store.images.change(missing, ImageChanges(rating=3))


def test_details_are_those_that_are_there(store: Store, maker: Any) -> None:
    recorded = added(store, maker, 3)
    delete(store, recorded[1])
    found = store.images.details([recorded[0], recorded[1], ids.new_id(), recorded[2]])
    assert [image.id for image in found] == [recorded[2], recorded[0]]
    assert store.images.details([]) == []
    with pytest.raises(InvalidRequest, match="whole id"):
        store.images.details([recorded[0][-8:]])


def test_nothing_to_record_is_nothing(store: Store) -> None:
    nothing: list[NewImage] = []
    store.images.add(nothing)
    assert store.images.count() == 0
