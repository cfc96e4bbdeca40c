"""A query in the terms of the index, and in pieces of the texts that it keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from mysticanvas.store.search.query import Query, Terms


class Plan(NamedTuple):
    """What is looked for, and what must not be there."""

    words: tuple[str, ...]
    """What is ranked, each term once."""
    variants: tuple[str, ...]
    """What prefixes stand for, without what is among the words or unwanted."""
    beginnings: tuple[str, ...]
    """Pieces of text. Variants count in pictures that have one of them: a term is that of other
    words as well, which do not start so."""
    required: frozenset[str]
    """Words that are in a phrase."""
    pieces: tuple[str, ...]
    """Pieces of text that have to be there."""
    unwanted: frozenset[str]
    unwanted_pieces: tuple[str, ...]

    @property
    def in_text(self) -> bool:
        """Whether the texts have to be looked into."""
        return bool(self.pieces or self.beginnings or self.unwanted_pieces)


def make(
    query: Query,
    stem: Callable[[Sequence[str]], Mapping[str, str]],
    expand: Callable[[str], Sequence[str]],
) -> Plan:
    """What a query looks for.

    Args:
        stem: words -> their stems.
        expand: a prefix -> the words that start so.
    """
    wanted, unwanted = query.wanted, query.unwanted
    in_phrases = [word for phrase in wanted.phrases for word in phrase.split()]
    in_phrases += [word for phrase in wanted.open_phrases for word in phrase.split()[:-1]]
    variants = [word for prefix in wanted.prefixes for word in expand(prefix)]
    stems = stem([*wanted.words, *variants, *unwanted.words])
    words = dict.fromkeys(stems[word] for word in wanted.words)
    excluded = frozenset(stems[word] for word in unwanted.words)
    begun = dict.fromkeys(stems[word] for word in variants)
    return Plan(
        words=tuple(words),
        variants=tuple(term for term in begun if term not in words and term not in excluded),
        beginnings=_begun(wanted.prefixes),
        required=frozenset(stems[word] for word in in_phrases),
        pieces=_phrases(wanted),
        unwanted=excluded,
        unwanted_pieces=(*_phrases(unwanted), *_begun(unwanted.prefixes)),
    )


def _phrases(terms: Terms) -> tuple[str, ...]:
    """Phrases as they stand in a text."""
    return (*(f" {phrase} " for phrase in terms.phrases), *_begun(terms.open_phrases))


def _begun(folded: Sequence[str]) -> tuple[str, ...]:
    """What may go on, as it stands in a text."""
    return tuple(f" {each}" for each in folded)
