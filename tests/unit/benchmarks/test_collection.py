from collections import Counter

import pytest

from benchmarks import collection
from benchmarks.collection import Entry
from mysticanvas.contracts.base import canonical_json
from mysticanvas.contracts.recipe import Recipe

IMAGES = 12_000


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return list(collection.entries(IMAGES))


def test_the_same_number_gives_the_same_collection(entries: list[Entry]) -> None:
    again = collection.entries(IMAGES)
    assert all(next(again) == entry for entry in entries)


def test_another_salt_gives_other_pictures(entries: list[Entry]) -> None:
    ids = {entry.id for entry in entries}
    others = list(collection.entries(100, first=5, salt=1))
    assert not ids & {entry.id for entry in others}
    assert [entry.seq for entry in others] == list(range(5, 105))


def test_ids_are_distinct_and_dates_run_through_the_years(entries: list[Entry]) -> None:
    assert len({entry.id for entry in entries} | {entry.job_id for entry in entries}) == 2 * IMAGES
    dates = [entry.created_at for entry in entries]
    assert dates == sorted(dates)
    assert dates[0] - collection.BEGAN < collection.LASTED / 1000
    assert dates[-1] <= collection.BEGAN + collection.LASTED
    assert dates[-1] > collection.BEGAN + collection.LASTED * 0.999


@pytest.mark.parametrize("share", [collection.RARE, collection.MID, collection.COMMON])
def test_words_are_in_as_many_prompts_as_was_asked_for(entries: list[Entry], share: float) -> None:
    words = collection.WORDS.near(share, 5)
    found = Counter(word for entry in entries for word in set(entry.prompt.split()))
    _assert_near(sum(found[word] for word in words), 5, share)


@pytest.mark.parametrize("share", [collection.RARE, collection.MID])
def test_tags_are_on_as_many_pictures_as_was_asked_for(entries: list[Entry], share: float) -> None:
    tags = collection.TAGS.near(share, 5)
    found = Counter(tag for entry in entries for tag in entry.tags)
    _assert_near(sum(found[tag] for tag in tags), 5, share)


def test_a_tag_is_scattered_over_all_years(entries: list[Entry]) -> None:
    tag = collection.TAGS.near(collection.COMMON, 1)[0]
    half = IMAGES // 2
    older, newer = (
        sum(tag in entry.tags for entry in part) for part in (entries[:half], entries[half:])
    )
    assert older == pytest.approx(newer, rel=0.2)


def test_no_word_is_a_tag() -> None:
    assert not set(collection.WORDS.names) & set(collection.TAGS.names)


def test_recipes_are_whole_and_canonical_and_say_what_the_row_says(entries: list[Entry]) -> None:
    for entry in entries[:50]:
        recipe = Recipe.model_validate_json(entry.recipe)
        assert canonical_json(recipe.model_dump(mode="json")) == entry.recipe
        params = recipe.params
        assert (params.prompt, params.negative_prompt) == (entry.prompt, entry.negative_prompt)
        assert (params.width, params.height) == (entry.width, entry.height)
        assert (recipe.seed, recipe.preset) == (entry.seed, entry.preset)
        assert 700 < len(entry.recipe) < 2_000


def test_batches_hold_everything_once() -> None:
    sizes = [len(batch) for batch in collection.batches(collection.entries(25), 10)]
    assert sizes == [10, 10, 5]


def _assert_near(found: int, names: int, share: float) -> None:
    """Five standard deviations of a Poisson distribution."""
    expected = names * share * IMAGES
    assert abs(found - expected) <= 5 * expected**0.5 + 0.05 * expected
