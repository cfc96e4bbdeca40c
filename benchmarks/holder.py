"""A process that holds a store as the orchestrator does, for `benchmarks.opening` to look at.

It says how long opening took, then carries out orders; at their end it stops cleanly.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import psutil

import mysticanvas.orchestrator.lean  # isort: skip  # first, as in the orchestrator
import mysticanvas.orchestrator.app  # noqa: F401  # all that it has in memory
from benchmarks import child, collection, memory
from benchmarks.figure import Absent
from benchmarks.turns import seconds
from mysticanvas.home import HomePaths
from mysticanvas.store import Store


def carry_out(store: Store, *, record: dict[str, int] | None = None) -> child.Answer:
    """Record pictures, or use what is there.

    Args:
        record: arguments of `_record`; None to use the store.
    """
    if record is None:
        return _used(store)
    _record(store, **record)
    return {}


def _record(store: Store, commits: int, batch: int, salt: int) -> None:
    """Record some pictures, which only the log holds then.

    Args:
        commits: how many; what the log held is moved before.
        batch: pictures of each.
    """
    store.checkpoint()
    entries = collection.entries(commits * batch, salt=salt)
    for some in collection.batches(entries, batch):
        store.images.add([entry.new_image() for entry in some])


def _used(store: Store) -> child.Answer:
    """Ask a question of each kind; the memory that is taken then."""
    memory.index(store)
    memory.page(store)
    left_out = []
    for question in (_tagged, _searched):
        try:
            question(store)
        except Absent as missing:
            left_out.append(str(missing))
    gc.collect()
    return {"bytes": psutil.Process().memory_info().rss, "left_out": left_out}


def _tagged(store: Store) -> None:
    memory.page(store, tag=collection.TAGS.near(collection.MID, 1)[0])


def _searched(store: Store) -> None:
    for share in (collection.RARE, collection.MID, collection.COMMON):
        memory.search(store, collection.WORDS.near(share, 1)[0])


def main(home: str) -> None:
    """Open, then serve."""
    paths = HomePaths.of(Path(home))
    opened = []
    took = seconds(lambda: opened.append(Store.open(paths)))
    child.answer(seconds=took)
    with opened[0] as store:
        child.serve(lambda order: carry_out(store, **order))


if __name__ == "__main__":
    main(*sys.argv[1:])
