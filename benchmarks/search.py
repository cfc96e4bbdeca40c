"""The 50 best pictures for some words, beside SQLite's FTS5 over the same fields."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from benchmarks import collection, library, memory
from benchmarks.figure import Figure, Finding, attempt, duration, ratio
from benchmarks.sqlite import Peer
from benchmarks.statistics import summarize
from benchmarks.turns import alternate, each_of
from mysticanvas.store import Store

ROUNDS = 60
WORDS = 5
"""Different words of each kind, so that no search repeats the one before it."""
RARE_MS, MID_MS = 6.0, 8.0
TIMES = 4.0

_RARE, _MID, _COMMON = (
    collection.WORDS.near(share, WORDS)
    for share in (collection.RARE, collection.MID, collection.COMMON)
)
_QUERIES: dict[str, tuple[str, list[tuple[str, ...]], float | None, float | None]] = {
    "rare": ("a rare word", [(word,) for word in _RARE], RARE_MS, None),
    "mid": ("a middling word", [(word,) for word in _MID], MID_MS, None),
    "common": ("a common word", [(word,) for word in _COMMON], None, TIMES),
    "three": ("three words", list(zip(_RARE, _MID, _COMMON, strict=True)), None, TIMES),
}
"""Kind -> its words for people, its queries, and the bars: milliseconds, times faster."""
_LETTERS = 6
_IN_TEXT: dict[str, tuple[str, list[str]]] = {
    "phrase": (
        "a phrase",
        [f'"{mid} {common}"' for mid, common in zip(_MID, _COMMON, strict=True)],
    ),
    "prefix": ("a prefix", [f"{word[:_LETTERS]}*" for word in _MID]),
}
"""Kind -> its words for people, and its queries, for which texts are read as well as terms."""


def measure(images: int) -> list[Finding]:
    """Times of both sides, and how many times faster ours is."""
    with library.both(images) as (store, peer):
        findings: list[Finding] = []
        for kind, (what, queries, bar_ms, bar) in _QUERIES.items():
            compare = functools.partial(_compare, store, peer, kind, what, queries, bar_ms, bar)
            findings += attempt(f"search, {what}", compare)
        findings += attempt("search, in texts", functools.partial(_in_text, store))
    return findings + attempt("canvas.search", functools.partial(_http, images))


def _compare(
    store: Store,
    peer: Peer,
    kind: str,
    what: str,
    queries: Sequence[tuple[str, ...]],
    bar_ms: float | None,
    bar: float | None,
) -> list[Figure]:
    for words in queries:
        _check(store, peer, words)
    taken = alternate(
        {
            "ours": each_of(
                functools.partial(memory.search, store, " ".join(words)) for words in queries
            ),
            "sqlite": each_of(functools.partial(peer.search, words) for words in queries),
        },
        ROUNDS,
    )
    ours, theirs = summarize(taken["ours"]), summarize(taken["sqlite"])
    times = [slow / quick for slow, quick in zip(taken["sqlite"], taken["ours"], strict=True)]
    return [
        duration(f"search.{kind}", f"search, {what}", ours, bar_ms),
        duration(f"search.{kind}.sqlite", "SQLite FTS5", theirs),
        ratio(f"search.{kind}.times", "faster than FTS5", summarize(times), bar),
    ]


def _in_text(store: Store) -> list[Figure]:
    turns = {
        kind: each_of(functools.partial(memory.search, store, query) for query in queries)
        for kind, (_, queries) in _IN_TEXT.items()
    }
    taken = alternate(turns, ROUNDS)
    return [
        duration(f"search.{kind}", f"search, {what}", summarize(taken[kind]))
        for kind, (what, _) in _IN_TEXT.items()
    ]


def _http(images: int) -> list[Figure]:
    """The whole way: from the kernel, with all that is shown of each picture."""
    with library.canvas(images) as canvas:
        turns = {
            kind: each_of(memory.searching(canvas, " ".join(words)) for words in queries)
            for kind, (_, queries, *_) in _QUERIES.items()
        }
        taken = alternate(turns, ROUNDS)
    return [
        duration(f"search.{kind}.http", f"canvas.search, {what}", summarize(taken[kind]))
        for kind, (what, *_) in _QUERIES.items()
    ]


def _check(store: Store, peer: Peer, words: tuple[str, ...]) -> None:
    """Both sides have to find the same number of pictures, each with one of the words."""
    ours, theirs = memory.search(store, " ".join(words)), peer.search(words)
    stray = [seq for seq in ours if not set(words) & set(peer.prompt(seq).split())]
    if len(ours) != len(theirs) or stray:
        raise RuntimeError(
            f"{words}: {len(ours)} pictures, {len(stray)} without; SQLite finds {len(theirs)}."
        )
