"""Migrations: each once, whole, in order, and never other ones than were applied."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

import duckdb
import pytest

from mysticanvas.errors import StoreError, StoreTooNew
from mysticanvas.store import migrate
from mysticanvas.store.migrate import Applied, Migration

TWO = [
    Migration(1, "first", "CREATE TABLE a (n INTEGER PRIMARY KEY); INSERT INTO a VALUES (1);"),
    Migration(2, "second", "ALTER TABLE a ADD COLUMN text VARCHAR DEFAULT 'x';"),
]
SCHEMA_VERSION = """
    CREATE TABLE schema_version (
        version INTEGER PRIMARY KEY, name VARCHAR, checksum VARCHAR, applied_at TIMESTAMP
    );
"""
KNOWN = [Migration(1, "first", SCHEMA_VERSION + TWO[0].sql), TWO[1]]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as opened:
        yield opened


def done(known: list[Migration]) -> list[Applied]:
    return [Applied(step.version, step.name, step.checksum) for step in known]


def schema(connection: duckdb.DuckDBPyConnection) -> list[tuple[object, ...]]:
    """Columns and constraints of every table, in order."""
    columns = connection.execute(
        """
        SELECT table_name, column_index, column_name, data_type, is_nullable, column_default
        FROM duckdb_columns() WHERE NOT internal ORDER BY table_name, column_index
        """
    ).fetchall()
    constraints = connection.execute(
        """
        SELECT table_name, constraint_type, constraint_text
        FROM duckdb_constraints() ORDER BY ALL
        """
    ).fetchall()
    return [*columns, *constraints]


def test_schema_sql_is_the_sum_of_the_migrations(connection: duckdb.DuckDBPyConnection) -> None:
    migrate.run(connection)
    with duckdb.connect(":memory:") as fresh:
        fresh.execute((resources.files("mysticanvas.store") / "schema.sql").read_text("utf-8"))
        assert schema(fresh) == schema(connection)
    assert len(schema(connection)) > 50


def test_the_shipped_migrations_are_numbered_without_gap() -> None:
    versions = [migration.version for migration in migrate.available()]
    assert versions == list(range(1, len(versions) + 1))
    assert migrate.available()[0].name == "initial"


def test_every_migration_is_applied_once(connection: duckdb.DuckDBPyConnection) -> None:
    assert migrate.run(connection, KNOWN[:1]) == KNOWN[:1]
    assert migrate.run(connection, KNOWN) == KNOWN[1:]
    assert migrate.run(connection, KNOWN) == []
    assert migrate.applied(connection) == done(KNOWN)
    assert connection.execute("SELECT * FROM a").fetchall() == [(1, "x")]


def test_a_migration_that_fails_leaves_nothing_of_itself(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    broken = Migration(2, "broken", "CREATE TABLE b (n INTEGER); INSERT INTO a VALUES (1);")
    with pytest.raises(duckdb.ConstraintException):
        migrate.run(connection, [KNOWN[0], broken])
    assert migrate.applied(connection) == done(KNOWN[:1])
    assert connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall() == [
        ("a",),
        ("schema_version",),
    ]
    assert migrate.run(connection, KNOWN) == KNOWN[1:]


def test_what_failed_is_told_where_there_is_nothing_left_to_take_back(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """As after a COMMIT that could not write."""
    ends_itself = Migration(1, "ends_itself", "ROLLBACK; SELECT * FROM missing;")
    with pytest.raises(duckdb.CatalogException, match="missing"):
        migrate.run(connection, [ends_itself])


@pytest.mark.parametrize("before", [[], done(KNOWN[:1]), done(KNOWN)])
def test_what_is_left_to_apply(before: list[Applied]) -> None:
    assert migrate.pending(before, KNOWN) == KNOWN[len(before) :]


def test_a_newer_database_is_too_new() -> None:
    with pytest.raises(StoreTooNew, match="schema version 2; this library knows up to 1") as caught:
        migrate.pending(done(KNOWN), KNOWN[:1])
    assert "newer mysticanvas" in caught.value.hint


@pytest.mark.parametrize(
    "before",
    [
        [Applied(1, "first", "0" * 64)],
        [Applied(1, "other", KNOWN[0].checksum)],
        done(KNOWN[1:]),
        [*done(KNOWN[:1]), Applied(2, "second", KNOWN[0].checksum)],
    ],
    ids=["checksum", "name", "gap", "later checksum"],
)
def test_another_history_is_refused(before: list[Applied]) -> None:
    with pytest.raises(StoreError, match="is not the one that was applied"):
        migrate.pending(before, KNOWN)


@pytest.mark.parametrize("known", [KNOWN[1:], [KNOWN[0], KNOWN[0]], [*KNOWN, KNOWN[1]]])
def test_a_library_with_a_gap_applies_nothing(
    connection: duckdb.DuckDBPyConnection, known: list[Migration]
) -> None:
    with pytest.raises(StoreError, match="incomplete"):
        migrate.run(connection, known)
    assert schema(connection) == []


def test_a_refused_database_is_as_it_was(connection: duckdb.DuckDBPyConnection) -> None:
    migrate.run(connection, KNOWN[:1])
    before = schema(connection)
    changed = KNOWN[0]._replace(sql=KNOWN[0].sql + " -- changed")
    with pytest.raises(StoreError, match=r"Migration 1 \(first\)"):
        migrate.run(connection, [changed, KNOWN[1]])
    assert schema(connection) == before


def test_tables_of_something_else_are_left_alone(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE TABLE holidays (day DATE)")
    with pytest.raises(StoreError, match=r"\['holidays'\]"):
        migrate.run(connection, KNOWN)
