"""Rows into a table: values in the statement for a few, Arrow for many.

Planning costs by the value, Arrow by the statement: from some rows on, it takes a third of what
lists in parameters do. Columns are named by us, so their names may stand in a statement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from mysticanvas.errors import StoreError

FEW = 8
"""Rows up to which values are quicker."""
_MAX_SIGNED = 2**63 - 1
_ADDED = "added"


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
        (_insert_values if len(rows) <= FEW else _insert_arrow)(cursor, table, rows)
    except (RuntimeError, UnicodeEncodeError) as error:
        # What driver and Arrow say to text with a lone surrogate.
        raise StoreError(f"A value cannot be stored: {error}") from error


def _insert_values(
    cursor: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Mapping[str, object]]
) -> None:
    names = list(rows[0])
    places = f"({', '.join('?' * len(names))})"
    values = [row[name] for row in rows for name in names]
    sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES {', '.join([places] * len(rows))}"
    cursor.execute(sql, values)


def _insert_arrow(
    cursor: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Mapping[str, object]]
) -> None:
    # Here, since it takes 50 MB that most processes never need.
    import pyarrow as pa

    columns = {name: [row[name] for row in rows] for name in rows[0]}
    wide = {name for name, values in columns.items() if _is_wide(values)}
    arrays = {
        name: pa.array(values, type=pa.uint64() if name in wide else None)
        for name, values in columns.items()
    }
    cursor.register(_ADDED, pa.table(arrays))
    try:
        cursor.execute(f"INSERT INTO {table} BY NAME SELECT * FROM {_ADDED}")
    finally:
        cursor.unregister(_ADDED)


def _is_wide(values: Sequence[object]) -> bool:
    """Whether there is a whole number among them that needs the 64th bit."""
    return any(isinstance(value, int) and value > _MAX_SIGNED for value in values)
