"""Recording pictures: with the index in place, while it is maintained, and many at once."""

from __future__ import annotations

import functools
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from benchmarks import collection, library, memory
from benchmarks.collection import Entry
from benchmarks.figure import Figure, Finding, attempt, duration, long_duration, slowest
from benchmarks.sqlite import Peer
from benchmarks.statistics import summarize
from benchmarks.turns import WARM_UP, alternate, seconds
from mysticanvas.home import HomePaths
from mysticanvas.store import NewImage, Store

ROUNDS = 300
FOUND_ROUNDS = 50
BACKLOG = 20_000
"""Pictures that are not in the index when its maintenance is watched, or a tenth of all."""
IMPORTED = 100_000
BATCH = 1_000

INSERT_MS, WAIT_P99_MS, IMPORT_S = 3.0, 50.0, 30.0
_INSERTS, _FOUND, _BACKLOG, _CONCURRENT, _IMPORT = range(1, 6)
"""Salts of the collections: each records pictures of its own."""


def measure(images: int) -> list[Finding]:
    """Inserts, their waiting, and an import."""
    with library.both(images) as (store, peer):
        findings: list[Finding] = [*_inserts(store, peer, images)]
        findings += attempt("recorded, then searched", functools.partial(_found, store))
        busy = functools.partial(_concurrent, store, min(BACKLOG, images // 10))
        findings += attempt("while the index is maintained", busy)
    imported = min(IMPORTED, images)
    many = functools.partial(_import, imported)
    return findings + attempt(f"{imported:,} pictures imported", many)


def _inserts(store: Store, peer: Peer, images: int) -> list[Figure]:
    entries = list(collection.entries(ROUNDS + WARM_UP, first=images + 1, salt=_INSERTS))
    ours, theirs = iter([[entry.new_image()] for entry in entries]), iter(entries)
    taken = alternate(
        {
            "ours": lambda: store.images.add(next(ours)),
            "sqlite": lambda: peer.add([next(theirs)]),
        },
        ROUNDS,
    )
    return [
        duration("insert", "one picture recorded", summarize(taken["ours"]), INSERT_MS),
        slowest("insert.p99", "the same, 99th percentile", taken["ours"]),
        duration("insert.sqlite", "SQLite: row, tags, FTS5", summarize(taken["sqlite"])),
    ]


def _found(store: Store) -> list[Figure]:
    entries = collection.entries(FOUND_ROUNDS + WARM_UP, salt=_FOUND)
    taken = [_until_found(store, number, entry) for number, entry in enumerate(entries)]
    return [duration("insert.found", "recorded and then found", summarize(taken[WARM_UP:]))]


def _until_found(store: Store, number: int, entry: Entry) -> float:
    """Seconds to record a picture and find it by a word that no other has."""
    word = "".join("bdfgklmnpr"[int(digit)] + "u" for digit in f"{number:04}")
    image = _with_word(entry, word)

    found: list[int] = []

    def record_and_find() -> None:
        store.images.add([image])
        found.extend(memory.search(store, word))

    took = seconds(record_and_find)
    if found != [store.images.get(image.id).seq]:
        raise RuntimeError(f"{word!r} finds {found} right after {image.id} was recorded.")
    return took


def _with_word(entry: Entry, word: str) -> NewImage:
    image = entry.new_image()
    params = image.recipe.params.model_copy(update={"prompt": f"{entry.prompt} {word}"})
    return replace(image, recipe=image.recipe.model_copy(update={"params": params}))


def _concurrent(store: Store, backlog: int) -> list[Figure]:
    """Pages and inserts from the first step of the maintenance to its last."""
    for batch in collection.batches(collection.entries(backlog, salt=_BACKLOG), BATCH):
        store.images.add([entry.new_image() for entry in batch])
    pages: list[float] = []
    inserts: list[float] = []
    # Their number only spreads their dates: as many are recorded as there is time for.
    entries = collection.entries(1_000_000, salt=_CONCURRENT)
    began = time.perf_counter()
    with ThreadPoolExecutor(max_workers=1) as pool:
        maintenance = pool.submit(_maintained, store)
        while not maintenance.done():
            image = next(entries).new_image()
            inserts.append(seconds(functools.partial(store.images.add, [image])))
            pages.append(seconds(functools.partial(memory.page, store)))
        steps = maintenance.result()
    took = time.perf_counter() - began
    return [
        slowest("busy.page.p99", "page, 99th percentile", pages, WAIT_P99_MS),
        slowest("busy.insert.p99", "insert, 99th percentile", inserts, WAIT_P99_MS),
        duration("busy.step", "step of the maintenance", summarize(steps)),
        long_duration("busy.all", f"{backlog:,} pictures indexed meanwhile", summarize([took])),
    ]


def _maintained(store: Store) -> list[float]:
    """Seconds of each step, until nothing is left to do."""
    steps, more = [], True

    def step() -> None:
        nonlocal more
        more = memory.maintain(store)

    while more:
        steps.append(seconds(step))
    return steps


def _import(images: int) -> list[Finding]:
    """Rows, then tags, then index; recipes are parsed before, as whoever imports has to."""
    rows = tags = 0.0
    with (
        tempfile.TemporaryDirectory(prefix="mysticanvas-bench-") as folder,
        Store.open(HomePaths.of(Path(folder))) as store,
    ):
        entries = collection.entries(images, salt=_IMPORT)
        for batch in collection.batches(entries, BATCH):
            new = [entry.new_image() for entry in batch]
            rows += seconds(functools.partial(store.images.add, new))
            tags += seconds(functools.partial(memory.tag, store, batch))
        index = seconds(functools.partial(memory.index, store))
    parts = {"rows": rows, "tags": tags, "index": index}
    return [
        long_duration(
            "import", f"{images:,} pictures imported", summarize([sum(parts.values())]), IMPORT_S
        ),
        *(
            long_duration(f"import.{name}", f"of that, {name}", summarize([taken]))
            for name, taken in parts.items()
        ),
    ]
