"""Kill a number of processes in the middle of their commits; print the ids that they acknowledged.

The processes are forks of this one, which itself never opens the store, so that they start at once.
"""

import itertools
import os
import signal
import sys
from pathlib import Path

import pandas as pd

from mysticanvas import logs
from mysticanvas.home import HomePaths
from mysticanvas.store import Store

sys.path.insert(0, str(Path(__file__).parents[2]))
from makers import Maker

assert pd  # DuckDB imports it at its first statement: once here, rather than in every fork
logs.configure(None, "test")  # standard output is for ids alone
PATHS = HomePaths.of(Path(sys.argv[1]))


def commit(acknowledge: int) -> None:
    maker = Maker()
    store = Store.open(PATHS)
    for count in itertools.count(1):
        job = maker.added(store).record.id
        os.write(acknowledge, f"{job}\n".encode())
        if count % 5 == 0:
            store.checkpoint()


def kill_one(after: int) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        commit(writer)
    os.close(writer)
    with os.fdopen(reader) as acknowledged:
        for _ in range(after):
            sys.stdout.write(acknowledged.readline())
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        sys.stdout.write(acknowledged.read())


for kill in range(int(sys.argv[2])):
    kill_one(after=kill + 1)
