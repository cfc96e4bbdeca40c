"""Tags of pictures: nothing twice, nothing lost."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from mysticanvas.contracts import ids
from mysticanvas.contracts.images import ImageRecord
from mysticanvas.errors import InvalidRequest, NotFound
from mysticanvas.home import HomePaths
from mysticanvas.store import Store
from mysticanvas.store.rebuild import rebuild

Rows = set[tuple[int, str, str, float | None]]


@pytest.fixture
def pictures(store: Store, maker: Any) -> list[ImageRecord]:
    """Six pictures, with `seq` 1 to 6; the last two in a project of their own."""
    projects = ["default"] * 4 + ["other"] * 2
    store.images.add([maker.image(ids.new_id(), project=name) for name in projects])
    return sorted(store.images.page(10).items, key=lambda image: image.seq)


pytestmark = pytest.mark.usefixtures("pictures")


def rows(store: Store) -> Rows:
    """Every picture's tags: seq, name, source and confidence."""
    found = store.tags.of([1, 2, 3, 4, 5, 6])
    return {
        (seq, tag.name, tag.source, tag.confidence) for seq, tags in found.items() for tag in tags
    }


def stored(store: Store) -> int:
    return int(store.database.read("SELECT count(*) AS n FROM image_tags")[0]["n"])


def stale(store: Store) -> set[int]:
    return {row["image_seq"] for row in store.database.read("SELECT * FROM search_stale")}


def forget_stale(store: Store) -> None:
    with store.database.write() as transaction:
        transaction.run("DELETE FROM search_stale")


def counts(store: Store, **given: Any) -> dict[str, int]:
    return {tag.name: tag.count for tag in store.tags.page(**given).items}


def test_tags_come_back_by_name_in_the_spelling_of_the_first(store: Store) -> None:
    store.tags.add([1, 2], ["Sky_High", "castle"], "user")
    store.tags.add([2], ["sky high"], "vision", 0.7)
    assert rows(store) == {
        (1, "castle", "user", None),
        (1, "Sky_High", "user", None),
        (2, "castle", "user", None),
        (2, "Sky_High", "user", None),
        (2, "Sky_High", "vision", 0.7),
    }
    assert [tag.name for tag in store.tags.of([1])[1]] == ["castle", "Sky_High"]
    assert store.tags.ids(["SKY HIGH", "nope"]) == [*store.tags.ids(["Sky_High"]), None]
    assert stale(store) == {1, 2}


def test_adding_again_adds_nothing_and_keeps_the_higher_confidence(store: Store) -> None:
    for confidence in (0.5, 0.8, 0.3):
        store.tags.add([1, 1, 2], ["cat", "Cat"], "vision", confidence)
    assert rows(store) == {(1, "cat", "vision", 0.8), (2, "cat", "vision", 0.8)}
    assert stored(store) == 2
    store.tags.add([1], ["cat"], "vision")
    assert (1, "cat", "vision", None) in rows(store)


def test_threads_that_add_the_same_at_once_add_it_once(store: Store) -> None:
    names = [f"tag {k}" for k in range(8)]
    ready = threading.Barrier(4)
    failures: list[Exception] = []

    def add(turn: int) -> None:
        ready.wait()
        try:
            for k in range(len(names)):
                store.tags.add([1, 2, 3], [names[(k + turn) % 8], names[k]], "user")
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=add, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert stored(store) == 3 * len(names)
    assert counts(store) == dict.fromkeys(names, 3)


@pytest.mark.parametrize(
    ("source", "confidence"), [("user", 0.5), ("vision", 1.5), ("vision", float("nan"))]
)
def test_a_confidence_out_of_range_is_refused(store: Store, source: Any, confidence: float) -> None:
    with pytest.raises(InvalidRequest, match="confidence"):
        store.tags.add([1], ["cat"], source, confidence)
    assert not rows(store)


def test_removing_takes_what_is_there_from_all_or_from_one_source(store: Store) -> None:
    store.tags.add([1, 2], ["cat", "dog"], "user")
    store.tags.add([1, 2], ["cat"], "vision", 0.5)
    forget_stale(store)
    store.tags.remove([1], ["CAT", "unknown"])
    store.tags.remove([2], ["cat"], "vision")
    assert rows(store) == {
        (1, "dog", "user", None),
        (2, "cat", "user", None),
        (2, "dog", "user", None),
    }
    assert stale(store) == {1, 2}
    assert store.tags.ids(["unknown"]) == [None]


def test_counts_are_of_pictures_that_are_there(store: Store) -> None:
    store.tags.add([1, 2, 5], ["cat"], "user")
    store.tags.add([2, 3], ["cat"], "vision", 0.5)
    store.tags.add([6], ["dog"], "import")
    with store.database.write() as transaction:
        transaction.run("UPDATE images SET deleted_at = '2026-01-01' WHERE seq IN (1, 6)")
    cat = store.tags.get("Cat")
    assert (cat.count, cat.sources) == (3, {"user": 2, "vision": 2})
    assert counts(store) == {"cat": 3}
    assert counts(store, project="default") == {"cat": 2}
    assert counts(store, unused=True) == {"dog": 0}
    assert store.tags.get("dog").sources == {}
    with pytest.raises(NotFound, match="'bird'"):
        store.tags.get("bird")


def test_tags_are_paged_by_name_and_found_by_how_they_start(store: Store) -> None:
    names = ["b", "castle", "Cat", "a_c", "d"]
    store.tags.add([1], names, "user")
    store.tags.add([2], ["d"], "user")
    seen: list[str] = []
    cursor = None
    while True:
        page = store.tags.page(limit=2, cursor=cursor)
        assert page.total == 5
        seen += [tag.name for tag in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == ["a_c", "b", "castle", "Cat", "d"]
    assert [*counts(store, prefix="CA")] == ["castle", "Cat"]
    assert [*counts(store, prefix="ac")] == []
    assert [*counts(store, most_used=True, limit=2)] == ["d", "a_c"]


def test_chains_of_aliases_lead_to_their_end(store: Store) -> None:
    store.tags.alias("a", "b")
    store.tags.alias("b", "C d")
    store.tags.add([1], ["A"], "user")
    assert rows(store) == {(1, "C d", "user", None)}
    assert len(set(store.tags.ids(["a", "b", "c_d"]))) == 1
    aliases = [(each.alias, each.tag) for each in store.tags.aliases()]
    assert aliases == [("a", "b"), ("b", "C d")]
    with pytest.raises(InvalidRequest, match="'c d' -> 'a' -> 'b' -> 'c d'"):
        store.tags.alias("C_D", "a")


def test_an_alias_that_is_a_tag_of_its_own_is_merged(store: Store) -> None:
    store.tags.add([1, 2], ["grey"], "user")
    store.tags.alias("grey", "gray")
    assert rows(store) == {(1, "gray", "user", None), (2, "gray", "user", None)}
    assert counts(store) == {"gray": 2}
    store.tags.add([3], ["grey"], "user")
    assert counts(store) == {"gray": 3}


def test_an_alias_can_be_taken_back(store: Store) -> None:
    store.tags.alias("grey", "gray")
    for _ in range(2):
        store.tags.alias("grey", None)
    assert store.tags.aliases() == []
    store.tags.add([1], ["grey"], "user")
    assert counts(store) == {"grey": 1}
    with pytest.raises(NotFound, match="'slate'"):
        store.tags.alias("slate", None)


def test_merging_loses_nothing(store: Store) -> None:
    store.tags.add([1, 2, 3], ["cat"], "user")
    store.tags.add([2, 3, 4], ["cat"], "vision", 0.9)
    store.tags.add([3], ["kitty"], "user")
    store.tags.add([2, 4, 5], ["kitty"], "vision", 0.4)
    store.tags.add([6], ["kitty"], "import")
    store.tags.add([3], ["kitty"], "vision")
    store.tags.add([1, 6], ["dog"], "user")
    store.tags.alias("pussycat", "cat")
    before = rows(store)
    forget_stale(store)
    store.tags.merge("Cat", into="kitty")
    expected: dict[tuple[int, str, str], float | None] = {}
    for seq, name, source, confidence in before:
        key = (seq, "kitty" if name == "cat" else name, source)
        rivals = [expected[key], confidence] if key in expected else [confidence]
        expected[key] = None if None in rivals else max(each for each in rivals if each)
    assert rows(store) == {(*key, confidence) for key, confidence in expected.items()}
    assert stored(store) == len(expected)
    assert stale(store) == {1, 2, 3, 4}
    assert store.tags.ids(["cat"]) == store.tags.ids(["pussycat"]) == store.tags.ids(["kitty"])
    store.tags.merge("cat", into="kitty")
    assert rows(store) == {(*key, confidence) for key, confidence in expected.items()}


def test_merging_needs_both_tags(store: Store) -> None:
    store.tags.add([1], ["cat"], "user")
    for tag, into in (("cat", "nope"), ("nope", "cat")):
        with pytest.raises(NotFound, match="'nope'"):
            store.tags.merge(tag, into=into)


def test_renaming_keeps_the_tag_and_its_old_name_leads_there(store: Store) -> None:
    store.tags.add([1, 2], ["grey"], "user")
    store.tags.alias("slate", "grey")
    before = store.tags.ids(["grey"])
    forget_stale(store)
    for _ in range(2):
        store.tags.rename("grey", "Silver")
    assert store.tags.ids(["grey"]) == store.tags.ids(["silver"]) == before
    assert store.tags.ids(["slate"]) == before
    assert rows(store) == {(1, "Silver", "user", None), (2, "Silver", "user", None)}
    assert stale(store) == {1, 2}
    store.tags.rename("silver", "GREY")
    assert store.tags.ids(["grey", "silver", "slate"]) == before * 3
    assert counts(store) == {"GREY": 2}


def test_a_name_that_another_tag_has_is_refused(store: Store) -> None:
    store.tags.add([1], ["cat", "dog"], "user")
    store.tags.alias("hound", "dog")
    for taken in ("DOG", "hound"):
        with pytest.raises(InvalidRequest, match="merge"):
            store.tags.rename("cat", taken)
    with pytest.raises(NotFound):
        store.tags.rename("bird", "eagle")
    assert counts(store) == {"cat": 1, "dog": 1}


def test_shipped_aliases_never_override_the_user(store: Store) -> None:
    store.tags.add([1], ["bw"], "user")
    starter = {"grey": "gray", "bw": "black and white", "scifi": "science fiction"}
    for _ in range(2):
        store.tags.load_starter(starter)
    store.tags.add([2], ["grey", "bw"], "user")
    assert counts(store) == {"bw": 2, "gray": 1}
    store.tags.alias("scifi", None)
    store.tags.alias("gray", "grey")
    store.tags.load_starter(starter)
    assert counts(store) == {"bw": 2, "grey": 1}
    assert [(each.alias, each.source) for each in store.tags.aliases()] == [("gray", "user")]


def test_shipped_aliases_follow_the_package(store: Store) -> None:
    store.tags.load_starter({"grey": "gray", "old": "ancient"})
    store.tags.load_starter({"grey": "silver"})
    assert [(each.alias, each.tag) for each in store.tags.aliases()] == [("grey", "silver")]


def test_pictures_are_called_by_their_ids(store: Store, pictures: list[ImageRecord]) -> None:
    assert store.tags.seqs([pictures[2].id, pictures[0].id]) == [3, 1]
    for missing in (ids.new_id(), "nonsense"):
        with pytest.raises(NotFound, match=missing):
            store.tags.seqs([pictures[0].id, missing])


def test_a_picture_is_recorded_with_its_tags(store: Store, maker: Any) -> None:
    store.tags.alias("grey", "gray")
    maker.added(store)
    claimed = store.jobs.claim()
    assert claimed is not None
    job_id = claimed.record.id
    made = [maker.image(job_id, tags=("Castle", "grey"))]
    store.jobs.succeed(job_id, claimed.record.attempts + 1, made)
    assert store.tags.ids(["castle"]) == [None]
    record = store.jobs.succeed(job_id, claimed.record.attempts, made)
    assert record is not None
    [image] = record.images
    found = [(tag.name, tag.source) for tag in store.tags.of([image.seq])[image.seq]]
    assert found == [("Castle", "user"), ("gray", "user")]


def test_tags_given_at_generation_come_back_from_the_files(
    store: Store, paths: HomePaths, maker: Any
) -> None:
    image = maker.png(paths, maker.image(ids.new_id(), tags=("Castle", "ink")))
    assert rebuild(store, paths.images, paths.root).added == 1
    seq = store.images.get(image.id).seq
    assert [tag.name for tag in store.tags.of([seq])[seq]] == ["Castle", "ink"]
