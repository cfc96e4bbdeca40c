"""Kill a number of processes in the middle of keeping the index; print what they acknowledged.

The processes are forks of this one, which itself never opens the store, so that they start at once.
"""

import itertools
import os
import signal
import sys
from pathlib import Path

import pandas as pd

from mysticanvas import logs
from mysticanvas.settings import HomePaths
from mysticanvas.store import Store
from mysticanvas.store.search import maintenance, stale

assert pd  # DuckDB imports it at its first statement: once here, rather than in every fork
logs.configure(None, "test")  # standard output is for prompts alone
PATHS = HomePaths.of(Path(sys.argv[1]))
maintenance.MIN_BATCH, maintenance.MAX_BATCH, maintenance.LEVELS = 1, 4, (6, 18, None)

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


def work(acknowledge: int, run: int) -> None:
    store = Store.open(PATHS)
    for count in itertools.count(1):
        prompt = f"red run{run} count{count}"
        with store.database.write() as transaction:
            transaction.run(INSERT, prompt=prompt)
            transaction.run(INSERT_FILE)
            transaction.run("UPDATE images SET caption = $text WHERE seq = $seq",
                            text=f"caption{count}", seq=count)  # fmt: skip
            stale.touch(transaction, [count])
        os.write(acknowledge, f"{prompt}\n".encode())
        store.search.maintain(0)
        if count % 5 == 0:
            store.checkpoint()


def kill_one(run: int) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        work(writer, run)
    os.close(writer)
    with os.fdopen(reader) as acknowledged:
        for _ in range(1 + run * 2):
            sys.stdout.write(acknowledged.readline())
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        sys.stdout.write(acknowledged.read())


for run in range(int(sys.argv[2])):
    kill_one(run)
