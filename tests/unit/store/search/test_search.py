"""What a search finds, in which order, and that the index and the scan of the tail agree."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import duckdb_extension_fts
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from mysticanvas.contracts.filters import ImageFilters
from mysticanvas.errors import InvalidRequest
from mysticanvas.home import HomePaths
from mysticanvas.store import Store
from mysticanvas.store.search import ranking

VOCABULARY = (
    "red blue circle square castle castles running runs 4k 1girl sd15 sci-fi замок 城堡 café the"
)


def prompts(count: int, seed: int = 1) -> list[str]:
    """Prompts of 1 to 12 words, a few of which are frequent."""
    chance = random.Random(seed)
    words = VOCABULARY.split()
    weights = [1 / (place + 1) for place in range(len(words))]
    return [" ".join(chance.choices(words, weights, k=chance.randint(1, 12))) for _ in range(count)]


@pytest.fixture(params=["tail", "segment"])
def settled(request: pytest.FixtureRequest, eager: Callable[..., None]) -> Callable[[Any], None]:
    """Leaves everything in the tail, or has it all indexed."""
    eager()
    return lambda shelf: shelf.index() if request.param == "segment" else None


@pytest.mark.usefixtures("ranker")
@pytest.mark.parametrize(
    ("left", "several"), [(0, False), (25, False), (25, True)], ids=["index", "tail", "two fields"]
)
def test_scores_are_those_of_match_bm25_over_one_index(
    shelf: Any, eager: Callable[..., None], left: int, several: bool
) -> None:
    """Over segments on every level and a tail, as over one index of the same rows."""
    eager(largest=8)
    rows = [prompt for prompt in prompts(110) if prompt.isascii()]
    indexed = len(rows) - min(left, len(rows))
    captions = {k: rows[-k] for k in range(1, len(rows), 3)} if several else {}
    for first in range(0, len(rows), 20):
        for place, seq in enumerate(shelf.add(*rows[first : first + 20]), first):
            if place in captions:
                shelf.change(seq, caption=captions[place])
        if first < indexed:
            shelf.index()

    package = Path(duckdb_extension_fts.__file__).parent
    with duckdb.connect() as plain:
        plain.load_extension(str(next(package.glob("extensions/*/fts.duckdb_extension"))))
        plain.execute("CREATE TABLE d (seq BIGINT, prompt VARCHAR, caption VARCHAR)")
        plain.executemany(
            "INSERT INTO d VALUES (?, ?, ?)",
            [(k + 1, prompt, captions.get(k)) for k, prompt in enumerate(rows)],
        )
        plain.execute(
            r"PRAGMA create_fts_index('d', 'seq', 'prompt', 'caption', stopwords = 'none',"
            r" ignore = '[^\p{L}\p{N}]+')"
        )
        for text in ("red", "runs", "castle 4k", "red circle 1girl the", "nothing"):
            expected = plain.execute(
                "SELECT * FROM (SELECT seq, fts_main_d.match_bm25(seq, ?) AS score FROM d)"
                " WHERE score IS NOT NULL ORDER BY round(score, 8) DESC, seq DESC",
                [text],
            ).fetchall()
            page = shelf.store.search.search(text, limit=1000)
            assert page.seqs == [seq for seq, _ in expected]
            assert page.scores == pytest.approx([score for _, score in expected], abs=1e-8)


def test_a_picture_is_found_by_the_very_next_search(shelf: Any) -> None:
    for count in range(1, 4):
        shelf.add("a lighthouse")
        assert shelf.find("lighthouse") == list(range(count, 0, -1))


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("a castle in 4K", "4k"),
        ("1girl, solo", "1girl"),
        ("made with SD15", "sd15"),
        ("sdxl base", "SDXL"),
        ("старый ЗАМОК", "замок"),
        ("ёлка", "елка"),
        ("山上的城堡", "城"),
        ("山上的城堡", "城堡"),
        ("Ελλάδα", "ελλαδα"),
        ("a café", "cafe"),
        ("a cafe", "CAFÉ"),
        ("a sci-fi city", "sci-fi"),
        ("a sci-fi city", "fi"),
        ("snake_case", "case"),
        ("castles", "castle"),
        ("한글 한국어", "한국*"),
    ],
)
def test_words_of_every_kind_are_found(
    shelf: Any, settled: Callable[[Any], None], prompt: str, text: str
) -> None:
    shelf.add("something else", prompt)
    settled(shelf)
    assert shelf.find(text) == [2]


def test_every_element_of_a_query(shelf: Any, settled: Callable[[Any], None]) -> None:
    shelf.add("red circle", "circle red", "red castle", "blue sky", negative_prompt="blurry fog")
    shelf.add("castaway", seed=42)
    shelf.tag(4, "noir", "film noir")
    shelf.change(3, starred=True, rating=4)
    settled(shelf)
    found = {
        "red": [3, 2, 1],
        "red circle": [2, 1, 3],
        '"red circle"': [1],
        "red -circle": [3],
        'red -"red circle"': [3, 2],
        "-red": [5, 4],
        '-"red circle" -castaway': [4, 3, 2],
        "cast*": [5, 3],
        "red -cast*": [2, 1],
        "tag:noir": [4],
        "red tag:noir": [],
        "-tag:noir red": [3, 2, 1],
        "seed:42": [5],
        "seed:42 castaway": [5],
        "starred:true": [3],
        "rating:4 red": [3],
        "preset:tiny red": [3, 2, 1],
        "preset:other red": [],
        "project:other": [],
        "noir": [4],
        '"film noir"': [4],
        '"noir film"': [],
        "fog": [4, 3, 2, 1],
        "fog -blurry": [4, 3, 2, 1],
        '"blurry fog"': [],
        "zzz*": [],
        "red red -red": [],
        "": [5, 4, 3, 2, 1],
        "!": [],
        "! red": [3, 2, 1],
        "-!": [5, 4, 3, 2, 1],
    }
    assert {text: sorted(shelf.find(text)) for text in found} == {
        text: sorted(seqs) for text, seqs in found.items()
    }
    assert shelf.find("red circle")[-1] == 3
    assert shelf.find("-red") == [5, 4]


def test_a_prefix_is_what_words_start_with_and_not_their_stems(
    shelf: Any, settled: Callable[[Any], None]
) -> None:
    shelf.add("a run in the park", "running shoes", "a runner runs", "castle")
    shelf.add("the university", "the universe", negative_prompt="running")
    settled(shelf)
    found = {
        "run": [1, 2, 3, 5, 6],
        "runn*": [2, 3],
        "runni*": [2],
        "-runn*": [1, 4, 5, 6],
        "park -runn*": [1],
        "shoes castle -runn*": [4],
        "castle runn*": [2, 3, 4],
        "runn* cast*": [2, 3, 4],
        "run runni*": [1, 2, 3, 5, 6],
        "runn* -run": [],
        "runne* -running": [],
        "universit*": [5],
        "univers*": [5, 6],
        '"a runner" runn*': [3],
    }
    assert {text: sorted(shelf.find(text)) for text in found} == found


def test_a_prefix_behind_a_hyphen_or_among_characters_is_the_end_of_a_phrase(
    shelf: Any, settled: Callable[[Any], None]
) -> None:
    shelf.add("a sci-fi city", "a sci-fibre cable", "a fire in the field", "science fiction")
    shelf.add("日本語の本", "日本の城", "語学")
    settled(shelf)
    found = {
        "sci-fi*": [1, 2],
        "sci-fib*": [2],
        "-sci-fi*": [3, 4, 5, 6, 7],
        "field sci-fi*": [1, 2],
        "city field -sci-fi*": [3],
        "日本語*": [5],
        "日本*": [5, 6],
        "-日本語*": [1, 2, 3, 4, 6, 7],
    }
    assert {text: sorted(shelf.find(text)) for text in found} == found


def test_fields_weigh_differently(shelf: Any, settled: Callable[[Any], None]) -> None:
    shelf.add("castle by the sea", negative_prompt="fog night rain dark")
    shelf.add("fog night rain dark", negative_prompt="castle by the sea")
    settled(shelf)
    assert shelf.find("castle") == [1, 2]
    scores = shelf.store.search.search("castle").scores
    assert scores[0] > 2 * scores[1]


def test_scores_are_none_where_nothing_is_ranked(shelf: Any) -> None:
    shelf.add("red", "blue")
    assert shelf.store.search.search("").scores == [None, None]
    assert all(shelf.store.search.search("red").scores)


def test_changes_are_seen_at_once_and_stay(shelf: Any, eager: Callable[..., None]) -> None:
    eager()
    shelf.add(*(["red castle"] * 8))
    shelf.index()
    shelf.tag(3, "noir")
    shelf.change(4, caption="a lighthouse")
    shelf.delete(5)

    def check() -> None:
        assert shelf.find("noir") == [3]
        assert shelf.find("lighthouse") == [4]
        assert sorted(shelf.find("castle")) == [1, 2, 3, 4, 6, 7, 8]
        assert shelf.find("") == [8, 7, 6, 4, 3, 2, 1]
        assert shelf.find("castle -noir -lighthouse") == [8, 7, 6, 2, 1]
        assert shelf.find("-lighthouse") == [8, 7, 6, 3, 2, 1]

    check()
    shelf.index()
    check()
    shelf.change(4, caption=None)
    assert shelf.find("lighthouse") == []
    assert not shelf.find('-"red castle"')


def test_projects_and_other_filters(shelf: Any, settled: Callable[[Any], None]) -> None:
    shelf.add("red", "blue", project="castle")
    shelf.add("red", "blue")
    settled(shelf)
    assert shelf.find("red", project="castle") == [1]
    assert shelf.find("", project="castle") == [2, 1]
    assert shelf.find("red", width=16) == [3, 1]
    assert shelf.find("red", width=17) == []


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_the_size_of_a_page_is_limited(shelf: Any, limit: int) -> None:
    with pytest.raises(InvalidRequest):
        shelf.store.search.search("red", limit)


def test_a_prefix_of_too_many_words_is_refused(
    shelf: Any, settled: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mysticanvas.store.search.search.MAX_VARIANTS", 3)
    shelf.add("wa wb wc", "wd")
    settled(shelf)
    with pytest.raises(InvalidRequest, match="Give more"):
        shelf.find("w*")


def test_another_stemmer_makes_the_index_anew(
    paths: HomePaths, shelf_of: Any, eager: Callable[..., None]
) -> None:
    eager()
    with Store.open(paths) as store:
        shelf_of(store).add("castles")
    for stemmer, found in (("porter", [1]), ("none", []), ("english", [1])):
        with Store.open(paths, stemmer=stemmer) as store:
            shelf = shelf_of(store)
            assert shelf.find("castle") == found
            shelf.index()
            assert shelf.find("castle") == found
            assert shelf.find("castles") == [1]


@pytest.mark.parametrize(
    ("text", "found", "picked"),
    [
        ('"gold ring"', [6], True),
        ("gold-ring", [6], True),
        ("gol*", [6, 5], True),
        ('ring -"gold ring"', [7, 5], True),
        ('"red circle"', [4, 3, 2, 1], False),
        ("red*", [4, 3, 2, 1], False),
    ],
)
def test_texts_are_picked_out_where_their_terms_leave_few(
    shelf: Any,
    eager: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    found: list[int],
    picked: bool,
) -> None:
    monkeypatch.setattr(ranking, "PICTURES_A_TEXT", 3)
    eager(largest=9)
    shelf.add(*(["red circle"] * 4), "ring of gold", "gold ring", "a ring", "blue", "blue")
    shelf.index()
    read, asked = shelf.store.database.read, []

    def listen(sql: str, **parameters: Any) -> Any:
        asked.append(sql)
        return read(sql, **parameters)

    monkeypatch.setattr(shelf.store.database, "read", listen)
    assert sorted(shelf.find(text), reverse=True) == found
    assert any("rowid IN" in sql for sql in asked) is picked


@pytest.fixture(scope="module")
def scan_and_index(
    tmp_path_factory: pytest.TempPathFactory, shelf_of: Any
) -> Iterator[tuple[Store, Store]]:
    """The same pictures twice: all in the tail, and most in segments."""
    with (
        Store.open(HomePaths.of(tmp_path_factory.mktemp("scan") / "home")) as scan,
        Store.open(HomePaths.of(tmp_path_factory.mktemp("index") / "home")) as index,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("mysticanvas.store.search.maintenance.MIN_BATCH", 1)
        patch.setattr("mysticanvas.store.search.maintenance.MAX_BATCH", 9)
        patch.setattr("mysticanvas.store.search.maintenance.IDLE_BATCH", 9)
        patch.setattr("mysticanvas.store.search.maintenance.LEVELS", (20, 50, None))
        for store in (scan, index):
            shelf = shelf_of(store)
            shelf.add(*prompts(60, seed=2), negative_prompt="the red fog")
            shelf.tag(7, "castle", "noir")
            if store is index:
                shelf.index()
            shelf.add(*prompts(10, seed=3))
            shelf.delete(9)
            shelf.change(11, caption="running runs")
        yield scan, index


_WORD = st.sampled_from([*VOCABULARY.split(), "fog", "noir", "absent"])
_COMMON = st.sampled_from(["red", "blue", "circle", "square", "castle"])
_ATOM = st.one_of(
    _WORD,
    _WORD.map(lambda word: f"{word[:3]}*"),
    st.lists(_WORD, max_size=3).map(lambda words: f'"{" ".join(words)}"'),
    st.lists(_COMMON, min_size=2, max_size=2).map(lambda words: f'"{" ".join(words)}"'),
    st.lists(_COMMON, min_size=2, max_size=3).map("-".join),
    st.lists(_COMMON, min_size=2, max_size=2).map(lambda words: f"{'-'.join(words)[:-2]}*"),
    st.sampled_from(["sci-f*", "sci-fi", "城堡", "城堡*", "城堡城", "堡*", "c*", "r*"]),
    st.sampled_from(["tag:noir", "-tag:noir", "seed:7", "seed:8"]),
)
_PART = st.tuples(st.sampled_from(["", "", "-"]), _ATOM).map("".join)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.lists(_PART, max_size=4).map(" ".join))
def test_the_index_agrees_with_a_scan(scan_and_index: tuple[Store, Store], text: str) -> None:
    answers = []
    scan, index = scan_and_index
    ways = ((scan, ranking.FEW, 1), (index, ranking.FEW, 1000), (index, 0, 1), (index, 20, 4))
    for store, few, apart in ways:
        with (
            mock.patch.object(ranking, "FEW", few),
            mock.patch.object(ranking, "PICTURES_A_TEXT", apart),
        ):
            try:
                answers.append(store.search.search(text, limit=1000)[:2])
            except InvalidRequest as error:
                answers.append(error.detail)
    assert all(answer == answers[0] for answer in answers)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.one_of(st.text(), st.text(alphabet="\"'-*:%_;\\\0 atgseed1é城\ud800{}$")))
def test_no_text_makes_the_database_fail(scan_and_index: tuple[Store, Store], text: str) -> None:
    try:
        page = scan_and_index[1].search.search(text, 5, filters=ImageFilters())
    except InvalidRequest:
        return
    assert len(page.seqs) <= min(5, page.total)
