"""Upgrade copies of a home, each in a process that is killed before another statement.

Usage: upgrade_and_die.py HOME FOLDER. A copy a statement is left in FOLDER, as its kill left it.
The processes are forks of this one, which itself never opens a database.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from mysticanvas import logs
from mysticanvas.home import HomePaths
from mysticanvas.store import Store, migrate
from mysticanvas.store.migrate import Migration

assert pd  # DuckDB imports it at its first statement: once here, rather than in every fork
logs.configure(None, "test")
migrate_whole = migrate.run


class Dying:
    """A connection that runs one statement at a time, and dies before the `last`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, last: int) -> None:
        self._connection = connection
        self._left = last

    def execute(self, sql: str, parameters: object = None) -> object:
        for statement in self._connection.extract_statements(sql):
            self.live()
            self._connection.execute(statement, parameters)
        return self

    def live(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def upgrade(home: Path, last: int) -> None:
    """Upgrade, and die before statement number `last`, or after all of them if they are fewer."""

    def run(connection: Any, known: Sequence[Migration] | None = None) -> list[Migration]:
        dying = Dying(connection, last)
        done = migrate_whole(dying, known)  # type: ignore[arg-type]
        dying.live()
        return done

    migrate.run = run  # type: ignore[assignment]
    Store.open(HomePaths.of(home)).close()


def main(home: Path, folder: Path) -> None:
    for last in itertools.count(1):
        copy = Path(shutil.copytree(home, folder / f"{last:03}"))
        child = os.fork()
        if child == 0:
            code = 1
            try:
                upgrade(copy, last)
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if status == 0:
            shutil.rmtree(copy)
            return
        assert os.WIFSIGNALED(status), f"statement {last}: status {status}"


main(Path(sys.argv[1]), Path(sys.argv[2]))
