"""A small collection, made for real, in our store and in SQLite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import collection, library, memory, sqlite
from benchmarks.sqlite import Peer
from mysticanvas.store import Store

IMAGES = 600


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Peer]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        with library.both(IMAGES) as both:
            yield both


def test_both_sides_have_the_same_pages(sides: tuple[Store, Peer]) -> None:
    store, peer = sides
    ours, theirs = memory.page(store).items, peer.page()
    assert [image.id for image in ours] == [row[1] for row in theirs]
    assert ours[0].seq == IMAGES
    assert peer.offset(50) == peer.page(IMAGES - 50 + 1)


def test_the_store_reads_the_rows_back_as_they_were_made(sides: tuple[Store, Peer]) -> None:
    store, _ = sides
    made = list(collection.entries(IMAGES))[-1]
    read = store.images.get(made.id)
    assert (read.prompt, read.project, read.created_at) == (
        made.prompt,
        made.project,
        made.created_at,
    )
    assert read.recipe == made.new_image().recipe


def test_cursors_lead_as_deep_as_they_are_asked_to(sides: tuple[Store, Peer]) -> None:
    store, _ = sides
    pages = [memory.page(store, cursor) for cursor in memory.cursors(store, 420, pages=2)]
    assert [page.items[0].seq for page in pages] == [IMAGES - 420, IMAGES - 470]
    with pytest.raises(ValueError, match="no full page"):
        list(memory.cursors(store, 560, pages=1))


def test_sqlite_finds_words_and_tags(sides: tuple[Store, Peer]) -> None:
    _, peer = sides
    entries = list(collection.entries(IMAGES))
    word, tag = collection.WORDS.names[40], collection.TAGS.names[0]
    assert set(peer.search([word])) <= {
        entry.seq for entry in entries if word in entry.prompt.split()
    }
    assert word in peer.prompt(peer.search([word])[0]).split()
    tagged = [entry.seq for entry in reversed(entries) if tag in entry.tags]
    assert peer.tagged_seqs(tag) == tagged
    assert [row[0] for row in peer.tagged(tag)] == tagged[:50]


def test_what_is_recorded_in_sqlite_is_found_at_once(tmp_path: Path) -> None:
    sqlite.create(tmp_path / "new.db", 100)
    with sqlite.opened(tmp_path / "new.db") as peer:
        added = next(collection.entries(1, first=101, salt=1))
        peer.add([added])
        assert peer.page()[0][1] == added.id
        assert added.seq in peer.search(added.prompt.split())


def test_a_run_changes_its_copy_and_the_kept_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for version in (1, 1, 2):
        monkeypatch.setattr(collection, "VERSION", version)
        library.copied.cache_clear()
        for before in (60, 61):
            with library.both(60) as (store, _):
                assert memory.count(store) == before
                store.images.add([next(collection.entries(1, salt=before)).new_image()])
    names = [folder.name for folder in (tmp_path / "mysticanvas" / "benchmarks").iterdir()]
    assert sorted(name.split("-")[0] for name in names) == ["60", *["copy"] * 3]
