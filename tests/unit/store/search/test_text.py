import hashlib

import pytest
from hypothesis import given, strategies as st

from mysticanvas.contracts import tags
from mysticanvas.store.search.maintenance import FORMAT
from mysticanvas.store.search.text import fold, seen

BLOCKS = [(0x20, 0x530), (0x1100, 0x1200), (0x1E00, 0x2300), (0x3000, 0x3100), (0xFE00, 0x10000)]
"""Latin, Greek, Cyrillic, Hangul, signs, kana, variants and full width; what nobody sees."""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A Red Circle, 4k!", "a red circle 4k"),
        ("1girl sd15 SDXL", "1girl sd15 sdxl"),
        ("sci-fi snake_case l'été", "sci fi snake case l ete"),
        ("café Ångström Łódź straße", "cafe angstrom lodz strasse"),
        ("ЗАМОК ёлка", "замок елка"),
        ("Ελλάδα ΣΊΣΥΦΟΣ", "ελλαδα σισυφοσ"),
        ("城堡在山上", "城 堡 在 山 上"),
        ("がんこ", "が ん こ"),
        ("Ｆｕｌｌ ﬁne ½", "full fine 1 2"),
        ("한글 हिन्दी ไทย", "한글 हिन्दी ไทย"),
        ("\0a\0b \ud800 c\n\td", "a b c d"),
        ("ca\u00adt x\u200d\u2060y \ufeffz", "cat xy z"),
        ("\u0e01\u200b\u0e02", "\u0e01 \u0e02"),
        ("\u2764\ufe0f", ""),
        ("\u1112\u00ad\u1161", "\ud558"),
        ("", ""),
        ("!?…", ""),
    ],
)
def test_folding(text: str, words: str) -> None:
    assert fold(text) == words


def test_an_index_of_texts_that_were_read_otherwise_has_another_format() -> None:
    """Who changes how text is folded counts `FORMAT` up, or what is indexed is not found."""
    codes = [code for begin, end in BLOCKS for code in range(begin, end)]
    folded = "\n".join(fold(f"a{chr(code)}b {chr(code)}") for code in [*codes, 0x57CE, 0xE0001])
    assert (FORMAT, hashlib.sha256(folded.encode()).hexdigest()[:16]) == (2, "73242ab6d76aecdd")


def test_what_nobody_sees_is_the_same_in_texts_and_tags_but_for_what_is_named() -> None:
    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    of_texts = {code for code in codes if seen(chr(code)) == ""}
    of_tags = {code for code in codes if tags.prefix(f"a{chr(code)}b") == "ab"}
    assert of_tags - of_texts == {0x200B}
    rare = {*range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B)}
    assert of_texts - of_tags == rare | set(range(0xE0000, 0xE1000))


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(alphabet=st.characters(codec="ascii")))
def test_the_quick_way_for_ascii_is_the_same(text: str) -> None:
    assert fold(text) == fold(f"{text} é").removesuffix("e").rstrip()
