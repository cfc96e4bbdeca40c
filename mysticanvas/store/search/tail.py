"""The tail: pictures that the index does not have yet, or not as they are now.

They are few, since maintenance sees to it, and kept in memory as terms. A search compares a number
to know that none has come since, and reads only those that have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from mysticanvas.store import queries
from mysticanvas.store.search import documents
from mysticanvas.store.search.documents import Document, Read

MAX_IMAGES = 2_000

_SQL = queries.load("search")
_ALL = 2**62
_Stem = Callable[[Iterable[str]], dict[str, str]]


class Entry(NamedTuple):
    """A picture of the tail."""

    seq: int
    text: str
    words: frozenset[str]
    tf: Mapping[str, float]
    length: float
    shown: frozenset[str]


class TooLong(Exception):
    """There is more than a search can look through; some has to be indexed first.

    Args:
        images: how many pictures.
    """

    def __init__(self, images: int) -> None:
        super().__init__(f"{images} pictures")
        self.images = images


@dataclass(frozen=True, slots=True)
class Tail:
    """The tail at one moment, and what the index counted then."""

    commits: int
    """What the database had counted before it was read."""
    generation: int
    last_seq: int
    newest: int
    """No picture after it was there."""
    change: int
    """No later mark was there."""
    entries: Mapping[int, Entry]
    hidden: frozenset[int]
    """Pictures whose rows in the index do not count any more."""
    images: int
    words: float
    """Those of index and tail together, and their lengths."""

    @property
    def average(self) -> float:
        """The average length; 1 where nothing has any words."""
        return self.words / self.images if self.words else 1.0


def read(run: Read, stem: _Stem, commits: int, before: Tail | None) -> Tail:
    """The tail as it is now.

    Args:
        run: reads in one snapshot.
        stem: words -> their stems.
        commits: what the database had counted before the snapshot.
        before: an earlier tail, of which what still holds is kept.

    Raises:
        TooLong: see there.
    """
    state = run(_SQL["state"])[0]
    if before is None or before.generation != state["generation"]:
        known: dict[int, Entry] = {}
        after, change, hidden = state["last_seq"], 0, frozenset[int]()
    else:
        known = dict(before.entries)
        after, change, hidden = before.newest, before.change, before.hidden
    backlog = run(_SQL["backlog"], after=after)[0]
    images = len(known) + backlog["newer"] + backlog["changed"]
    if images > MAX_IMAGES:
        raise TooLong(images)
    changed = [row["seq"] for row in run(_SQL["changed"], change=change, limit=_ALL)]
    for seq in changed:
        known.pop(seq, None)
    read_again = documents.some(run, [seq for seq in changed if seq <= after])
    fresh = documents.newer(run, after, _ALL) if backlog["newer"] else []
    stem({word for document in (*read_again, *fresh) for word in document.words})
    known |= {document.seq: _entry(document, stem) for document in (*read_again, *fresh)}
    hidden |= {seq for seq in changed if seq <= state["last_seq"]}
    gone = run(_SQL["indexed"], seqs=list(hidden))[0] if hidden else {"images": 0, "words": 0.0}
    return Tail(
        commits=commits,
        generation=state["generation"],
        last_seq=state["last_seq"],
        newest=backlog["newest"],
        change=max(state["change"], change),
        entries=known,
        hidden=hidden,
        images=state["images"] - gone["images"] + len(known),
        words=state["words"] - gone["words"] + sum(entry.length for entry in known.values()),
    )


def _entry(document: Document, stem: _Stem) -> Entry:
    found = documents.terms(document, stem)
    return Entry(
        seq=document.seq,
        text=document.text,
        words=frozenset(document.words),
        tf=found.tf,
        length=found.length,
        shown=found.shown,
    )
