"""What people type into a search, read without ever failing on its form.

    red circle            pictures with any of the words, those with more and rarer ones first
    "red circle"          the words side by side; required
    -blurry  -"red circle"  pictures without
    cast*                 words that start so, as they stand and not by their stems
    sci-fi*               a phrase whose last word may go on
    tag:noir  -tag:noir  preset:…  style:…  project:…  seed:42  starred:true  rating:4

Words that a hyphen joins, and Chinese or Japanese characters that stand together, are a phrase. A
quote that is never closed goes to the end; a minus or an asterisk alone is nothing. A name before
a colon that is none of those above is a word like any other. A rating is the least one. Other
symbols are no words, and of them alone nothing is found.

Aliases of tags are followed by `tag:` alone. The index has the names that tags have themselves, and
does not tell in which field a word is, so a word cannot be looked for among the tags only.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pydantic import ValidationError

from mysticanvas.contracts.filters import ImageFilters
from mysticanvas.contracts.params import refused
from mysticanvas.contracts.search import FIELDS
from mysticanvas.settings import MAX_SEARCH_CHARS
from mysticanvas.store.search.text import fold, seen

MAX_WORDS = 256
"""Limit of a query: what is ranked has to fit in the cursor of the next page."""

_PIECE = re.compile(
    rf'(?P<minus>-*)(?:(?P<field>{"|".join(FIELDS)}):(?="|\S))?'
    r'(?:"(?P<quoted>[^"]*)(?:"|$)|(?P<bare>[^\s"]+))',
    re.IGNORECASE,
)
# What may join the parts of one word: it is sci-fi, snake_case and l'été, but red,blue are two.
_BETWEEN_WORDS = re.compile(r"[^\w\-‐‑'’*\u0300-\u036f]+")
_SYNTAX = re.compile(r'[\s*"-]*')
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Terms(NamedTuple):
    """What to look for, or what must not be there; all of it folded."""

    words: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    """Words with a space between; of what is looked for, they are among `words`, too."""
    open_phrases: tuple[str, ...] = ()
    """The same, but the last word may go on, and is not among them."""


class Query(NamedTuple):
    """A search as it was understood."""

    wanted: Terms
    unwanted: Terms
    filters: ImageFilters
    vain: bool = False
    """Whether all that was typed is symbols, of which nothing has any."""

    @property
    def ranked(self) -> bool:
        """Whether there is anything to rank by; else the newest come first."""
        return bool(self.wanted.words or self.wanted.prefixes)


def parse(text: str, filters: ImageFilters) -> Query:
    """Read a query.

    Args:
        text: what was typed.
        filters: conditions from elsewhere; those in the text are added.

    Raises:
        InvalidRequest: it is too long, a value is not allowed, or two conditions contradict.
    """
    if len(text) > MAX_SEARCH_CHARS:
        raise refused("text", text, f"at most {MAX_SEARCH_CHARS:,} characters")
    wanted, unwanted = _Collected(), _Collected()
    # A lone surrogate is no text, and the database would say so.
    text = text.encode("utf-8", "replace").decode()
    meant = bool(_SYNTAX.fullmatch(seen(text)))
    for piece in _PIECE.finditer(text):
        minus, quoted = bool(piece["minus"]), piece["quoted"]
        value = piece["bare"] if quoted is None else quoted
        meant = meant or minus or bool(piece["field"] or fold(value))
        if piece["field"]:
            filters = _filtered(filters, piece["field"].lower(), value, minus)
            continue
        kind = unwanted if minus else wanted
        if quoted is None:
            kind.add_bare(seen(value))
        else:
            kind.add_phrase(fold(value))
    if len(wanted.words) + len(unwanted.words) > MAX_WORDS:
        raise refused("text", text, f"at most {MAX_WORDS} different words")
    return Query(
        wanted.terms(every_word=True), unwanted.terms(every_word=False), filters, vain=not meant
    )


class _Collected:
    """Words, prefixes and phrases, each once and in order."""

    def __init__(self) -> None:
        self.words: dict[str, None] = {}
        self._single: dict[str, None] = {}
        self._prefixes: dict[str, None] = {}
        self._phrases: dict[str, None] = {}
        self._open_phrases: dict[str, None] = {}

    def add_bare(self, text: str) -> None:
        for chunk in _BETWEEN_WORDS.split(text):
            folded = fold(chunk)
            if chunk.endswith("*"):
                self._add_open(folded)
            else:
                self.add_phrase(folded)

    def add_phrase(self, folded: str) -> None:
        words = folded.split()
        self.words |= dict.fromkeys(words)
        if len(words) > 1:
            self._phrases[folded] = None
        else:
            self._single |= dict.fromkeys(words)

    def _add_open(self, folded: str) -> None:
        *before, last = folded.split() or [""]
        if before:
            self.words |= dict.fromkeys(before)
            self._open_phrases[folded] = None
        elif last:
            self._prefixes[last] = None

    def terms(self, every_word: bool) -> Terms:
        words = self.words if every_word else self._single
        kinds = (words, self._prefixes, self._phrases, self._open_phrases)
        return Terms(*map(tuple, kinds))


def _filtered(filters: ImageFilters, field: str, value: str, minus: bool) -> ImageFilters:
    if field == "tag":
        name = "not_tags" if minus else "tags"
        return _with(filters, name, [*getattr(filters, name), value])
    if minus:
        raise refused("text", f"-{field}:{value}", "a minus before words, phrases and `tag:`")
    name, converted = _converted(field, value)
    if getattr(filters, name) not in (None, converted):
        raise refused(
            "text",
            f"{field}:{value}",
            "a condition that agrees with the others",
            f"{name} is {getattr(filters, name)!r} already.",
        )
    return _with(filters, name, converted)


def _converted(field: str, value: str) -> tuple[str, object]:
    """The filter that a field of a query means, and its value."""
    if field == "seed":
        return "seed", _whole(field, value, 2**64 - 1)
    if field == "rating":
        return "min_rating", _whole(field, value, 5)
    if field == "starred":
        if value.lower() not in _TRUTH:
            raise refused("text", f"{field}:{value}", "starred:true or starred:false")
        return "starred", _TRUTH[value.lower()]
    return field, value


def _whole(field: str, value: str, most: int) -> int:
    digits = value.isascii() and value.isdigit() and len(value) <= 20
    if not digits or int(value) > most:
        raise refused("text", f"{field}:{value}", f"{field}: and a whole number from 0 to {most}")
    return int(value)


def _with(filters: ImageFilters, name: str, value: object) -> ImageFilters:
    try:
        return ImageFilters.model_validate(filters.model_dump() | {name: value})
    except ValidationError as error:
        raise refused("text", value, f"what {name} takes", error.errors()[0]["msg"]) from None
