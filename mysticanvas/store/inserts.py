"""Rows into a table: values in the statement for a few, a list a column for many.

Columns are named by us, so their names may stand in a statement. Arrow would be quicker for many,
but it looks for pandas, which the orchestrator forbids to itself, and fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from mysticanvas.errors import StoreError

FEW = 8
"""Rows up to which values are quicker."""

_PARSED: dict[str, duckdb.Statement] = {}
"""Statements for few rows by their text; there are as many as tables, times `FEW`."""


def insert(
    cursor: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Mapping[str, object]]
) -> None:
    """Append rows that have the same columns; the others get their defaults.

    Raises:
        StoreError: a value is no Unicode text.
        duckdb.Error: a row does not fit the table; none was added.
    """
    if not rows:
        return
    try:
        (_insert_values if len(rows) <= FEW else _insert_lists)(cursor, table, rows)
    except RuntimeError as error:
        # The driver's answer to text with a lone surrogate, which is no Unicode text.
        raise StoreError(f"A value cannot be stored: {error}") from error


def _insert_values(
    cursor: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Mapping[str, object]]
) -> None:
    values = [value for row in rows for value in row.values()]
    cursor.execute(_parsed(cursor, table, list(rows[0]), len(rows)), values)


def _parsed(
    cursor: duckdb.DuckDBPyConnection, table: str, names: Sequence[str], count: int
) -> duckdb.Statement:
    """The statement for that many rows; it is read once, and planned whenever it is run."""
    places = ", ".join("?" * len(names))
    # DuckDB plans a SELECT of one row in less time than VALUES, which it keeps as a table.
    source = f"SELECT {places}" if count == 1 else f"VALUES {', '.join([f'({places})'] * count)}"
    sql = f"INSERT INTO {table} ({', '.join(names)}) {source}"
    if sql not in _PARSED:
        [_PARSED[sql]] = cursor.extract_statements(sql)
    return _PARSED[sql]


def _insert_lists(
    cursor: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Mapping[str, object]]
) -> None:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    # A list of nothing but None has no type that could be converted.
    given = {name: values for name, values in columns.items() if any(v is not None for v in values)}
    places = ", ".join(f"unnest(${name})" if name in given else "NULL" for name in columns)
    cursor.execute(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {places}", given)
