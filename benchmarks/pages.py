"""Pages of the gallery at any depth, beside SQLite with the same rows.

Deep is 99 % of the way down. Both sides go on from page to page, as somebody does who scrolls.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence

from benchmarks import collection, library, memory
from benchmarks.figure import Absent, Figure, Finding, attempt, duration, growth, slowest
from benchmarks.sqlite import Peer
from benchmarks.statistics import summarize
from benchmarks.turns import Turn, alternate, each_of, seconds
from mysticanvas import Canvas
from mysticanvas.store import Store

ROUNDS = 300
OFFSET_ROUNDS = 20
HTTP_ROUNDS = 200
DEPTH = 0.99
PAGES = 10
"""That many pages in a row are turned at each place, then they come again."""
TAGS, FEWEST = 5, 4
"""Different tags, with that many pictures at least."""

PAGE_MS, PAGE_P99_MS, DEEPER = 3.0, 10.0, 1.3
TAGGED_MS, TAGGED_DEEPER = 20.0, 1.5
HTTP_MS = 8.0

_OFFSET = """
SELECT image.id, image.seq, image.prompt, image.recipe, file.path
FROM images AS image JOIN generation_files AS file ON file.image_seq = image.seq
WHERE image.deleted_at IS NULL AND file.kind = 'original'
ORDER BY image.seq DESC LIMIT 50 OFFSET $skip
"""


def measure(images: int) -> list[Finding]:
    """Pages in the store and over HTTP."""
    with library.both(images) as (store, peer):
        findings: list[Finding] = _all(store, peer, images)
        findings += [*_offset(store, peer, images), _count(store)]
        for name, share in (("tag", collection.MID), ("rare_tag", collection.RARE)):
            tagged = functools.partial(_tagged, store, peer, name, share)
            findings += attempt(f"pages with a tag, {share:.2%}", tagged)
    return [*findings, *_http(images)]


def _all(store: Store, peer: Peer, images: int) -> list[Finding]:
    skip = _deep(images)
    taken = alternate(
        {
            "top": _turning(store, memory.cursors(store, 0, PAGES)),
            "deep": _turning(store, memory.cursors(store, skip, PAGES)),
            "sqlite_top": _scrolling(peer, images),
            "sqlite_deep": _scrolling(peer, images - skip),
        },
        ROUNDS,
    )
    return [
        *_place("page.top", "page of 50, newest", taken["top"]),
        *_place("page.deep", "page of 50, 99 % deep", taken["deep"]),
        _deeper("page.deeper", "deep to newest", taken["deep"], taken["top"], DEEPER),
        duration("page.sqlite.top", "SQLite, newest", summarize(taken["sqlite_top"])),
        duration("page.sqlite.deep", "SQLite, 99 % deep", summarize(taken["sqlite_deep"])),
    ]


def _offset(store: Store, peer: Peer, images: int) -> list[Figure]:
    skip = _deep(images)
    taken = alternate(
        {
            "ours": lambda: store.database.read(_OFFSET, skip=skip),
            "sqlite": lambda: peer.offset(skip),
        },
        OFFSET_ROUNDS,
    )
    return [
        duration("page.offset", "OFFSET, 99 % deep", summarize(taken["ours"])),
        duration("page.sqlite.offset", "SQLite, OFFSET, 99 % deep", summarize(taken["sqlite"])),
    ]


def _count(store: Store) -> Figure:
    taken = [seconds(lambda: memory.count(store)) for _ in range(OFFSET_ROUNDS)]
    return duration("page.count", "how many pictures there are", summarize(taken))


def _tagged(store: Store, peer: Peer, name: str, share: float) -> list[Figure]:
    tags = collection.TAGS.near(share, TAGS)
    seqs = {tag: found for tag in tags if len(found := peer.tagged_seqs(tag)) >= FEWEST}
    if not seqs:
        raise Absent(f"there are fewer than {FEWEST} matches in so small a collection")
    size = min(memory.PAGE, *(len(found) // 2 for found in seqs.values()))
    last = {tag: len(found) - size for tag, found in seqs.items()}

    def turning(skips: Mapping[str, int]) -> Turn:
        return each_of(
            functools.partial(memory.page, store, cursor, size, tag)
            for tag, skip in skips.items()
            for cursor in memory.cursors(store, skip, 1, size, tag)
        )

    taken = alternate(
        {
            "top": turning(dict.fromkeys(seqs, 0)),
            "deep": turning(last),
            "sqlite_top": each_of(functools.partial(peer.tagged, tag) for tag in seqs),
            "sqlite_deep": each_of(
                functools.partial(peer.tagged, tag, found[last[tag] - 1])
                for tag, found in seqs.items()
            ),
        },
        ROUNDS,
    )
    what = f"page of {size}, {max(map(len, seqs.values())):,} matches"
    top = summarize(taken["top"])
    return [
        duration(f"page.{name}.top", f"{what}, newest", top, TAGGED_MS),
        duration(f"page.{name}.deep", f"{what}, last", summarize(taken["deep"]), TAGGED_MS),
        _deeper(
            f"page.{name}.deeper", "last to newest", taken["deep"], taken["top"], TAGGED_DEEPER
        ),
        duration(f"page.sqlite.{name}.top", "SQLite, newest", summarize(taken["sqlite_top"])),
        duration(f"page.sqlite.{name}.deep", "SQLite, last", summarize(taken["sqlite_deep"])),
    ]


def _http(images: int) -> list[Figure]:
    with library.canvas(images) as canvas:
        taken = [seconds(turn) for turn in _scrolled(canvas, HTTP_ROUNDS)]
    return [
        duration("page.http", "canvas.images(limit=50)", summarize(taken), HTTP_MS),
        slowest("page.http.p99", "the same, 99th percentile", taken),
    ]


def _scrolled(canvas: Canvas, rounds: int) -> Iterator[Turn]:
    """Turns that ask for one page after the other, after a few that do not count."""
    cursors: list[str | None] = [None]
    for _ in range(PAGES):
        cursors.append(canvas.images(limit=memory.PAGE, cursor=cursors[-1]).next_cursor)
    for number in range(rounds):
        cursor = cursors[number % PAGES]
        yield functools.partial(canvas.images, limit=memory.PAGE, cursor=cursor)


def _place(name: str, what: str, taken: Sequence[float]) -> list[Figure]:
    return [
        duration(name, what, summarize(taken), PAGE_MS),
        slowest(f"{name}.p99", "the same, 99th percentile", taken, PAGE_P99_MS),
    ]


def _deeper(
    name: str, what: str, deep: Sequence[float], top: Sequence[float], bar: float
) -> Figure:
    """The ratio of the medians; its spread is that of the deep pages alone."""
    typical = summarize(top).median
    return growth(name, what, summarize([taken / typical for taken in deep]), bar)


def _deep(images: int) -> int:
    """How many pictures are skipped at 99 %, so that some full pages are left."""
    return min(int(images * DEPTH), images - memory.PAGE * PAGES)


def _turning(store: Store, cursors: Iterator[str | None]) -> Turn:
    return each_of([functools.partial(memory.page, store, cursor) for cursor in cursors])


def _scrolling(peer: Peer, newest: int) -> Turn:
    """SQLite's pages from the picture at `newest` on."""
    return each_of(
        functools.partial(peer.page, newest + 1 - memory.PAGE * number) for number in range(PAGES)
    )
