"""What is wrong with a database: questions that are cheap at a million pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb

from mysticanvas.store import failures, migrate, queries
from mysticanvas.store.connection import rows
from mysticanvas.store.high_water import Mark

_SQL = queries.load("opening")


def measure(connection: duckdb.DuckDBPyConnection) -> Mark:
    """What the current database holds; an empty mark for one without tables."""
    if not migrate.applied(connection):
        return Mark()
    return Mark(**rows(connection, _SQL["mark"])[0])


def complaints(connection: duckdb.DuckDBPyConnection, size: int, mark: Mark) -> Iterator[str]:
    """What is wrong with the current database, cheap questions first.

    Args:
        size: bytes of its file.
        mark: what it held when it was last known to be good.
    """
    used = rows(connection, _SQL["used_bytes"])[0]["bytes"]
    if size < used:
        yield f"the file has {size:,} bytes of {used:,}."
    present = measure(connection)
    missing = mark.missing_from(present)
    if missing:
        yield f"rows were lost ({'; '.join(missing)})."
    if present.schema_version:
        yield from _contradictions(connection)


def lost(mark: Mark | None, has_backups: bool) -> str | None:
    """What went with a database that is missing or empty; None if there never was one.

    Args:
        mark: what it held when it was last known to be good; None if no mark is there. An empty one
            is that of a restore which begins anew.
        has_backups: whether there are daily backups of it.
    """
    if mark is None:
        return "there are backups of it." if has_backups else None
    if mark == Mark():
        return None
    return f"it held {mark.images:,} pictures, presets and jobs apart."


def examine(database: Path, called: Path | None = None) -> Mark:
    """What a database holds that is not the open one of this process, such as a backup.

    A log beside it counts; neither of them is changed.

    Args:
        called: what errors call it, if it is a copy of what the user knows.

    Raises:
        StoreDamaged: it is damaged, or not a database.
        StoreTooNew: a newer library wrote it.
        StoreError: it is not one of MystiCanvas, or has no tables.
    """
    called = called or database
    try:
        with duckdb.connect(str(database), read_only=True) as connection:
            migrate.pending(migrate.applied(connection), migrate.available())
            for complaint in complaints(connection, database.stat().st_size, Mark()):
                raise failures.damaged(called, complaint)
            return measure(connection)
    except duckdb.Error as error:
        raise failures.of_reading(error, called) from error


def _contradictions(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """Rules that the data breaks. The exact questions take a second at a million pictures, so they
    are asked only where one that reads a column or two once is not answered as it should be."""
    [suspicion] = rows(connection, _SQL["suspicion"])
    for about in ("repeated", "unmatched"):
        if suspicion[about]:
            found = rows(connection, _SQL[about])
            yield from (f"it holds {row['rows']} {row['what']}." for row in found)
