import pytest
from hypothesis import given, strategies as st

from mysticanvas.store.search.text import fold


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


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(alphabet=st.characters(codec="ascii")))
def test_the_quick_way_for_ascii_is_the_same(text: str) -> None:
    assert fold(text) == fold(f"{text} é").removesuffix("e").rstrip()
