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
    names = list(rows[0])
    places = f"({', '.join('?' * len(names))})"
    values = [row[name] for row in rows for name in names]
    sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES {', '.join([places] * len(rows))}"
    cursor.execute(sql, values)


def _insert_lists(
    cursor: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Mapping[str, object]]
) -> None:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    # A list of nothing but None has no type that could be converted.
    given = {name: values for name, values in columns.items() if any(v is not None for v in values)}
    places = ", ".join(f"unnest(${name})" if name in given else "NULL" for name in columns)
    cursor.execute(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {places}", given)
