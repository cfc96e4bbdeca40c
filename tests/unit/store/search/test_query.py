from typing import Any

import pytest
from hypothesis import given, strategies as st

from mysticanvas.contracts.filters import ImageFilters
from mysticanvas.errors import InvalidRequest
from mysticanvas.settings import MAX_SEARCH_CHARS
from mysticanvas.store.search.query import Terms, parse

OPEN = {"open_phrases": ("sci fi",)}


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted"),
    [
        ("Red circle red", {"words": ("red", "circle")}, {}),
        ('"Red circle" sky', {"words": ("red", "circle", "sky"), "phrases": ("red circle",)}, {}),
        ('"red"', {"words": ("red",)}, {}),
        ("sky -blurry", {"words": ("sky",)}, {"words": ("blurry",)}),
        ('-"low quality" --text', {}, {"words": ("text",), "phrases": ("low quality",)}),
        ("cast* -fog*", {"prefixes": ("cast",)}, {"prefixes": ("fog",)}),
        ("sci-fi* -sci-fi*", {"words": ("sci",), "open_phrases": ("sci fi",)}, OPEN),
        ("日本語*", {"words": ("日", "本"), "open_phrases": ("日 本 語",)}, {}),
        ("ca\u00adt\u200d", {"words": ("cat",)}, {}),
        ("sci-*", {"prefixes": ("sci",)}, {}),
        ("sci-fi", {"words": ("sci", "fi"), "phrases": ("sci fi",)}, {}),
        ("-sci-fi", {}, {"phrases": ("sci fi",)}),
        ("城堡", {"words": ("城", "堡"), "phrases": ("城 堡",)}, {}),
        ("red,blue/green", {"words": ("red", "blue", "green")}, {}),
        ("16:9 foo:bar", {"words": ("16", "9", "foo", "bar")}, {}),
        ('"never closed', {"words": ("never", "closed"), "phrases": ("never closed",)}, {}),
        ('- * " -" -* "" :', {}, {}),
        ("tag: seed:", {"words": ("tag", "seed")}, {}),
        ("a\0b", {"words": ("a", "b")}, {}),
        ("'; DROP TABLE images; --", {"words": ("drop", "table", "images")}, {}),
        ("", {}, {}),
    ],
)
def test_words(text: str, wanted: dict[str, Any], unwanted: dict[str, Any]) -> None:
    query = parse(text, ImageFilters())
    assert (query.wanted, query.unwanted) == (Terms(**wanted), Terms(**unwanted))
    assert query.filters == ImageFilters()
    assert query.ranked == bool(wanted)


@pytest.mark.parametrize(
    ("text", "vain"),
    [
        ("???", True),
        ("🐱", True),
        ('"!" 🐱', True),
        ("", False),
        ("\u00ad", False),
        ('- * ""', False),
        ("-🐱", False),
        ("cat 🐱", False),
        ("seed:42 🐱", False),
    ],
)
def test_symbols_alone_are_in_vain(text: str, vain: bool) -> None:
    assert parse(text, ImageFilters()).vain is vain


@pytest.mark.parametrize(
    ("text", "filters"),
    [
        ("tag:noir tag:night", {"tags": ["noir", "night"]}),
        ('TAG:"film noir" -tag:day', {"tags": ["film noir"], "not_tags": ["day"]}),
        ("tag:\U0001f469\u200d\U0001f3a8", {"tags": ["\U0001f469\u200d\U0001f3a8"]}),
        ("seed:42", {"seed": 42}),
        ("preset:starter style:ink", {"preset": "starter", "style": "ink"}),
        ('project:"my castle"', {"project": "my castle"}),
        ("starred:true rating:4", {"starred": True, "min_rating": 4}),
        ("seed:42 seed:42", {"seed": 42}),
    ],
)
def test_fields(text: str, filters: dict[str, Any]) -> None:
    query = parse(text, ImageFilters())
    assert query.filters == ImageFilters(**filters)
    assert not query.ranked


def test_fields_and_other_filters_all_hold() -> None:
    query = parse("red tag:noir seed:1", ImageFilters(tags=["night"], project="castle", seed=1))
    assert query.filters == ImageFilters(tags=["night", "noir"], project="castle", seed=1)


@pytest.mark.parametrize(
    "text",
    [
        "seed:abc",
        "seed:-1",
        "seed:²",
        "seed:99999999999999999999",
        "rating:9",
        "starred:maybe",
        "seed:1 seed:2",
        "project:other",
        "-seed:4",
        "x" * (MAX_SEARCH_CHARS + 1),
        "tag:" + "x" * 300,
        " ".join(f"w{k}" for k in range(300)),
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(text, ImageFilters(project="castle"))
    assert caught.value.parameter == "text"


PIECES = st.sampled_from(
    ['"', "-", "*", ":", "tag:", "seed:", " ", "red", "城", "é", "\0", "\ud800"]
)


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        query = parse(text, ImageFilters())
    except InvalidRequest:
        return
    for terms in (query.wanted, query.unwanted):
        assert all(word and " " not in word for word in (*terms.words, *terms.prefixes))
