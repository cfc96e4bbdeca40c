"""Record pictures, checkpoint and make backups in processes that are killed at random moments.

Usage: record_until_killed.py HOME KILLS SEED. Prints the ids of the pictures that were
acknowledged. The processes are forks of this one, which itself never opens the store.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import time
from pathlib import Path

import pandas as pd

from mysticanvas import logs
from mysticanvas.home import HomePaths
from mysticanvas.store import Store

sys.path.insert(0, str(Path(__file__).parents[1]))
from makers import Maker

assert pd  # DuckDB imports it at its first statement: once here, rather than in every fork
logs.configure(None, "test")  # standard output is for ids alone
PATHS = HomePaths.of(Path(sys.argv[1]))
CHANCE = random.Random(int(sys.argv[3]))


def record(acknowledge: int) -> None:
    """Record for ever; every few pictures the log goes into the database."""
    maker = Maker()
    with Store.open(PATHS) as store:
        os.write(acknowledge, b"open\n")
        for number in itertools.count(1):
            for image in maker.recorded(store, size=2).images:
                os.write(acknowledge, f"{image.id}\n".encode())
            store.raise_high_water()
            if number % 3 == 0:
                store.checkpoint()


def kill_one() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        record(writer)
    os.close(writer)
    with os.fdopen(reader) as acknowledged:
        # Some kills hit opening and migrating, most what comes after, however slow the machine is.
        lines = [acknowledged.readline() for _ in range(CHANCE.choice([0, 0, 1, 2, 4, 8]))]
        time.sleep(CHANCE.random() * 0.2)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines += acknowledged
        sys.stdout.writelines(line for line in lines if line != "open\n")


for _ in range(int(sys.argv[2])):
    kill_one()
