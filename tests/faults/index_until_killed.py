"""Kill processes while they add, change and index pictures; look at the store after every kill.

Usage: index_until_killed.py HOME KILLS SEED. Every other kill falls into a merge of segments.
Prints how many did, and fails if anything acknowledged is gone or a search differs from a scan.
The processes are forks of this one, which itself never opens the store.
"""

from __future__ import annotations

import functools
import itertools
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from mysticanvas import logs
from mysticanvas.contracts.filters import ImageFilters
from mysticanvas.home import HomePaths
from mysticanvas.store import Store
from mysticanvas.store.search import maintenance, stale

sys.path.insert(0, str(Path(__file__).parents[1]))
from makers import Maker

assert pd  # DuckDB imports it at its first statement: once here, rather than in every fork
logs.configure(None, "test")  # standard output is for the figure alone
PATHS = HomePaths.of(Path(sys.argv[1]))
CHANCE = random.Random(int(sys.argv[3]))
merge = maintenance._merge
maintenance.MIN_BATCH, maintenance.MAX_BATCH, maintenance.IDLE_BATCH = 1, 4, 4
maintenance.LEVELS = 6, 18, None

INSERT = """
INSERT INTO images BY NAME
SELECT * REPLACE (uuid() AS id, uuid() AS job_id, seq + 1 AS seq, $prompt AS prompt)
FROM images ORDER BY seq DESC LIMIT 1
"""
INSERT_FILE = """
INSERT INTO generation_files BY NAME
SELECT * REPLACE (image_seq + 1 AS image_seq, uuid() AS image_id)
FROM generation_files ORDER BY image_seq DESC LIMIT 1
"""
CHANGE = "UPDATE images SET caption = $text WHERE seq = $seq"
LEFT_OVER = """
SELECT schema_name FROM duckdb_schemas()
WHERE database_name = current_database() AND starts_with(schema_name, 'fts')
"""


def work(say: Callable[[str], object], run: int) -> None:
    """Add and index for ever; say what is acknowledged, and when a merge begins and is over."""

    def said(transaction: object, level: int) -> None:
        say("merge")
        merge(transaction, level)  # type: ignore[arg-type]
        # The first kill finds it there, however late it comes.
        time.sleep(60 if run == 0 else 0)

    maintenance._merge = said  # type: ignore[assignment]
    store = Store.open(PATHS)
    for count in itertools.count(1):
        prompt = f"red run{run} count{count}"
        with store.database.write() as transaction:
            transaction.run(INSERT, prompt=prompt)
            transaction.run(INSERT_FILE)
            transaction.run(CHANGE, text=f"caption{count}", seq=count)
            stale.touch(transaction, [count])
        say(prompt)
        store.search.maintain(0)
        say("maintained")
        if count % 5 == 0:
            store.checkpoint()


def kill_one(run: int) -> tuple[list[str], bool]:
    """The prompts that were acknowledged, and whether the kill fell into a merge."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        work(lambda line: os.write(writer, f"{line}\n".encode()), run)
    os.close(writer)
    with os.fdopen(reader) as said:
        lines = []
        until = {"merge"} if run % 2 == 0 else set()
        while len(lines) < (CHANCE.randrange(2, 20) if run else 1) or (
            until and lines[-1] not in until
        ):
            lines.append(said.readline().rstrip())
            assert lines[-1], "it ended by itself"
        time.sleep(0 if run == 0 else CHANCE.random() * 0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines += said.read().split("\n")
    prompts = [line for line in lines if line.startswith("red")]
    return prompts, [line for line in lines if line][-1] == "merge"


def check(acknowledged: list[str]) -> None:
    """Open the store as the kill left it, and compare every look-up with a scan; then index."""
    with Store.open(PATHS) as store:
        for _ in range(2):
            rows = store.database.read("SELECT seq, prompt, caption FROM images")
            assert {*acknowledged} <= {row["prompt"] for row in rows}
            texts = {row["seq"]: {*row["prompt"].split(), row["caption"]} for row in rows}
            known = sorted(set().union(*texts.values()) - {None, "a"})
            for word in {"red", *CHANCE.sample(known, min(len(known), 12))}:
                assert found(store, word) == {seq for seq in texts if word in texts[seq]}, word
            assert store.database.read(LEFT_OVER) == []
            store.search.maintain(60)


def found(store: Store, word: str) -> set[int]:
    page = store.search.search(word, 1000, None, ImageFilters())
    seqs = {*page.seqs}
    while page.next_cursor is not None:
        page = store.search.search(word, 1000, page.next_cursor, ImageFilters())
        seqs |= {*page.seqs}
    return seqs


def in_a_fork(act: Callable[[], object]) -> None:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def begin() -> None:
    with Store.open(PATHS) as store:
        Maker().recorded(store)


def main(kills: int) -> None:
    in_a_fork(begin)
    acknowledged: list[str] = []
    in_merges = 0
    for run in range(kills):
        prompts, in_merge = kill_one(run)
        acknowledged += prompts
        in_merges += in_merge
        in_a_fork(functools.partial(check, acknowledged))
    os.write(1, f"{in_merges}\n".encode())


main(int(sys.argv[2]))
