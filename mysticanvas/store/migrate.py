"""Migrations: numbered .sql files, each applied once, in order, in a transaction of its own.

DuckDB has no `PRAGMA user_version`; the table `schema_version` does its work. `schema.sql` is the
schema that they add up to, for people to read.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from typing import NamedTuple

import duckdb

from mysticanvas.errors import StoreError, StoreTooNew
from mysticanvas.store import failures, queries, times
from mysticanvas.store.connection import rows

_SQL = queries.load("opening")
_FILE = re.compile(r"(\d{4})_(\w+)\.sql")


class Migration(NamedTuple):
    """A step from one schema version to the next."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


class Applied(NamedTuple):
    """A row of `schema_version`."""

    version: int
    name: str
    checksum: str


def available() -> list[Migration]:
    """The migrations of this library, oldest first."""
    folder = resources.files(__package__) / "migrations"
    named = ((_FILE.fullmatch(entry.name), entry) for entry in folder.iterdir())
    return sorted(
        Migration(int(match[1]), match[2], entry.read_text("utf-8"))
        for match, entry in named
        if match
    )


def applied(connection: duckdb.DuckDBPyConnection) -> list[Applied]:
    """What was applied to the current database, oldest first.

    Raises:
        StoreError: it has tables, but not ours.
    """
    tables = {row["table_name"] for row in rows(connection, _SQL["tables"])}
    if "schema_version" in tables:
        return [Applied(**row) for row in rows(connection, _SQL["applied"])]
    if tables:
        raise StoreError(
            f"The database is not one of MystiCanvas: it has the tables {sorted(tables)}.",
            hint="Choose another home directory, or move that file away.",
        )
    return []


def pending(done: Sequence[Applied], known: Sequence[Migration]) -> list[Migration]:
    """The migrations that are left to apply.

    Raises:
        StoreTooNew: a newer library was here.
        StoreError: what was applied is not what this library has, or there is a gap.
    """
    if [migration.version for migration in known] != list(range(1, len(known) + 1)):
        raise StoreError("The migrations of this library are incomplete.", hint=failures.REINSTALL)
    newest = max((step.version for step in done), default=0)
    if newest > len(known):
        raise StoreTooNew(
            f"The database has schema version {newest}; this library knows up to {len(known)}.",
            hint="Install a newer mysticanvas. The database was left untouched.",
        )
    for place, step in enumerate(done):
        ours = known[place]
        if step != (ours.version, ours.name, ours.checksum):
            raise StoreError(
                f"Migration {ours.version} ({ours.name}) is not the one that was applied to the "
                f"database (number {step.version}, {step.name}).",
                hint=failures.REINSTALL,
            )
    return list(known[len(done) :])


def run(
    connection: duckdb.DuckDBPyConnection, known: Sequence[Migration] | None = None
) -> list[Migration]:
    """Bring the current database to the newest schema.

    Args:
        known: the migrations; by default those of this library.

    Returns:
        The migrations that were applied now.

    Raises:
        StoreTooNew, StoreError: as `pending`; nothing was changed.
        duckdb.Error: a migration failed; those before it are kept, nothing of it is.
    """
    todo = pending(applied(connection), available() if known is None else known)
    for migration in todo:
        _apply(connection, migration)
        # Log replay after a kill is least proven for schema changes: leave none in the log.
        connection.execute("CHECKPOINT")
    return todo


def _apply(connection: duckdb.DuckDBPyConnection, migration: Migration) -> None:
    connection.execute("BEGIN")
    try:
        connection.execute(migration.sql)
        connection.execute(
            _SQL["record_migration"],
            {
                "version": migration.version,
                "name": migration.name,
                "checksum": migration.checksum,
                "now": times.now(),
            },
        )
        connection.execute("COMMIT")
    except BaseException:
        # What failed for good has left no transaction, and is what is to be told.
        with contextlib.suppress(duckdb.Error):
            connection.execute("ROLLBACK")
        raise
