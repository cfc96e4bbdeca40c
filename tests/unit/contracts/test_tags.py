"""Names of tags: what is one tag, and what is none."""

import random

import pytest

from mysticanvas.contracts.params import parse
from mysticanvas.contracts.tags import MAX_NAME_CHARS, distinct, normalized, spelled
from mysticanvas.errors import InvalidRequest


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("Castle", "castle"),
        ("  sky  high ", "sky_high"),
        ("sky__ _high", "Sky High"),
        ("Ｎｏｉｒ", "noir"),
        ("STRASSE", "straße"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("Cafe\u0301", "CAFÉ"),
        ("ﬁne", "fine"),
        ("soft\u00adhyphen", "softhyphen"),
        ("❤\ufe0f", "❤"),
        ("Замок", "замок"),
        ("城\u3000夜", "城 夜"),
    ],
)
def test_spellings_of_one_tag_have_one_normalized_name(name: str, same: str) -> None:
    assert normalized(name) == normalized(same)


@pytest.mark.parametrize("other", ["cafe", "sci fi", "sky-high", "4k", "1girl", "c++", "a/b"])
def test_what_tells_tags_apart_is_kept(other: str) -> None:
    assert normalized(other) == other


def test_a_normalized_name_is_its_own_for_every_character() -> None:
    # Beyond are ideographs that nothing changes.
    for code in range(0x20000):
        try:
            once = normalized(f"a{chr(code)}\u0301")
        except InvalidRequest:
            continue
        assert normalized(once) == once, hex(code)


def test_a_normalized_name_is_its_own_for_any_text() -> None:
    rng = random.Random(3)
    spaces = " __\u00a0\u3000\u200b\u00ad"
    difficult = "\u0345\u1f80\u0130\u03f4ﬁẛ\u0323\u0307Σς가\u1100\u1161\u11a8\u1160\uffa0ﷺ"
    pool = [*spaces, *difficult, *map(chr, range(0x20, 0x7F)), *map(chr, range(0x300, 0x370))]
    for _ in range(20_000):
        text = "".join(rng.choices(pool, k=rng.randint(1, 9)))
        try:
            once = normalized(text)
        except InvalidRequest:
            continue
        assert normalized(once) == once, ascii(text)
        assert normalized(spelled(text)) == once, ascii(text)


@pytest.mark.parametrize(
    "bad",
    ["", " ", "_", "\u200b", "a\x00b", "a\nb", "a\u2028b", "\ud800", "x" * 201, "ﷺ" * 12, 7, None],
)
def test_what_is_no_name_is_refused(bad: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        normalized(bad)
    assert refused.value.parameter == "tag"


def test_the_longest_name_is_allowed_and_its_spelling_stays() -> None:
    assert spelled("X" * MAX_NAME_CHARS) == "X" * MAX_NAME_CHARS
    assert spelled("  New   York_City\n") == "New York_City"


def test_of_several_spellings_the_first_stays_in_its_place() -> None:
    assert distinct(["B", "a_b", "b", "A B"]) == ["B", "a_b"]


def test_one_tag_of_a_request_may_be_a_text() -> None:
    assert parse(prompt="x", tags="red castle").tags == ["red castle"]
    assert parse(prompt="x", tags=["Noir", "noir", "ink"]).tags == ["Noir", "ink"]
    assert parse(prompt="x").tags == []


@pytest.mark.parametrize("bad", [[""], 3, [3], {"a": 1}, ["a\x00"], [str(k) for k in range(101)]])
def test_bad_tags_of_a_request_are_refused(bad: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(prompt="x", tags=bad)
    assert refused.value.parameter == "tags"
