"""What is said of a picture, as the index and the scan of newer pictures see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from mysticanvas.store import queries
from mysticanvas.store.connection import Row
from mysticanvas.store.search.text import fold

WEIGHTS = {"prompt": 1.0, "caption": 1.0, "tags": 2.0, "style": 0.5, "negative_prompt": 0.25}
"""What an occurrence in each field counts, in a term's frequency and in the picture's length.
Powers of two, so that their sums are exact."""
SHOWN = [field for field in WEIGHTS if field != "negative_prompt"]
"""What the picture shows. A minus, a phrase and a prefix mean these: most negative prompts are
alike, and `-blurry` is not meant to exclude what was made with "blurry" among them."""

_SQL = queries.load("search")
Read = Callable[..., list[Row]]
"""Runs a query, as `Transaction.run`."""


class Document(NamedTuple):
    """A picture's words, folded."""

    seq: int
    fields: dict[str, list[str]]
    """Field -> its texts; several only for tags."""

    def joined(self, field: str) -> str:
        """All words of a field."""
        return " ".join(self.fields[field])

    @property
    def text(self) -> str:
        """What phrases and prefixes are looked for in: a line for each text, between spaces."""
        return "\n".join(f" {text} " for field in SHOWN for text in self.fields[field] if text)

    @property
    def words(self) -> set[str]:
        """Its different words."""
        return {word for texts in self.fields.values() for text in texts for word in text.split()}


class Terms(NamedTuple):
    """A picture's terms, which are its stemmed words."""

    tf: dict[str, float]
    length: float
    shown: frozenset[str]


def newer(read: Read, after: int, limit: int) -> list[Document]:
    """The pictures after `after`, in the order of recording."""
    return [_document(row) for row in read(_SQL["newer"], after=after, limit=limit)]


def some(read: Read, seqs: Sequence[int]) -> list[Document]:
    """These pictures, without the deleted ones."""
    return [_document(row) for row in read(_SQL["some"], seqs=list(seqs))] if seqs else []


def terms(document: Document, stem: Callable[[Iterable[str]], dict[str, str]]) -> Terms:
    """The terms of a picture, as the extension would find them.

    Args:
        stem: words -> their stems.
    """
    stems = stem(document.words)
    tf: Counter[str] = Counter()
    shown: set[str] = set()
    for field, weight in WEIGHTS.items():
        counts = Counter(stems[word] for word in document.joined(field).split())
        for term, count in counts.items():
            tf[term] += count * weight  # type: ignore[assignment]
        if field in SHOWN:
            shown |= counts.keys()
    return Terms(dict(tf), sum(tf.values()), frozenset(shown))


def _document(row: Row) -> Document:
    texts = {field: [fold(row[field] or "")] for field in WEIGHTS if field != "tags"}
    return Document(row["seq"], texts | {"tags": [fold(name) for name in row["tags"] or ()]})
