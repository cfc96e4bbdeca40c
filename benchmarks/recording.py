"""Recording pictures: one by one with the index in place, while it is maintained, and many at once."""

from __future__ import annotations

import functools
import random
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import collection, library, memory
from benchmarks.collection import Entry
from benchmarks.figure import Figure, Finding, attempt, duration, long_duration, slowest
from benchmarks.sqlite import Peer
from benchmarks.statistics import summarize
from benchmarks.turns import WARM_UP, alternate, seconds
from mysticanvas.settings import HomePaths
from mysticanvas.store import Store

ROUNDS = 300
FOUND_ROUNDS = 50
BACKLOG = 20_000
"""Pictures that are not in the index when its maintenance is watched, or a tenth of all."""
IMPORTED = 100_000
BATCH = 1_000

INSERT_MS, WAIT_P99_MS, IMPORT_S = 3.0, 50.0, 30.0
_INSERTS, _BACKLOG, _CONCURRENT, _IMPORT = 1, 2, 3, 4
"""Salts of the collections: each records pictures of its own."""


def measure(images: int) -> list[Finding]:
    """Inserts, their waiting, and an import."""
    with library.both(images) as (store, peer):
        findings = [*_inserts(store, peer, images)]
        findings += attempt("recorded, then searched", functools.partial(_found, store))
        busy = functools.partial(_concurrent, store, min(BACKLOG, images // 10))
        findings += attempt("while the index is maintained", busy)
    return findings + attempt(f"{IMPORTED:,} pictures imported", _import)


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
