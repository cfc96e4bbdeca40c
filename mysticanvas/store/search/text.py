"""Text as words: the one reading of prompts, tags and queries alike.

Letters, marks and digits of every script make words; all else parts them. Case is folded, and so
are the accents of Latin, Greek and Cyrillic letters, full width and ligatures. Chinese characters
and Japanese kana, which are written without spaces, are a word each: what stands together in a
query is looked for as a phrase. Soft hyphens, joiners and the like, which nobody sees, count as
absent.
"""

from __future__ import annotations

import functools
import re
import unicodedata

from mysticanvas.contracts.unseen import RARE, UNSEEN

_PLAIN = {"ł": "l", "ø": "o", "đ": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe"}
"""Letters that are accented to the eye and whole to Unicode."""
_ACCENTS = dict.fromkeys(range(0x0300, 0x0370), "") | {ord(old): new for old, new in _PLAIN.items()}
_UNSEEN = re.compile(f"[{UNSEEN}{RARE}]")
_UNSPACED = ("CJK UNIFIED", "CJK COMPATIBILITY", "HIRAGANA", "KATAKANA")


_REPEATED_CHARS = 80
"""Texts up to this length are tags, styles and negative prompts, which many pictures share."""


def seen(text: str) -> str:
    """A text without the characters that nobody sees."""
    return _UNSEEN.sub("", text)


def fold(text: str) -> str:
    """The words of a text in order, folded, with one space between them."""
    return _fold_repeated(text) if len(text) <= _REPEATED_CHARS else _fold(text)


def _fold(text: str) -> str:
    if text.isascii():
        return " ".join(text.lower().translate(_WORDS).split())
    text = seen(text)
    # Casefolding may compose letters again, so they are decomposed once more.
    spelled = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    composed = unicodedata.normalize("NFC", spelled.translate(_ACCENTS))
    return " ".join(composed.translate(_WORDS).split())


_fold_repeated = functools.lru_cache(maxsize=4096)(_fold)


class _Words(dict[int, str]):
    """Character -> itself, or what parts words; found out at its first use."""

    def __missing__(self, code: int) -> str:
        made = self[code] = _part(chr(code))
        return made


def _part(character: str) -> str:
    if unicodedata.category(character)[0] not in "LMN":
        return " "
    if unicodedata.name(character, "").startswith(_UNSPACED):
        return f" {character} "
    return character


_WORDS = _Words()
