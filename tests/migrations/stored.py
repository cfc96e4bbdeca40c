"""The stored databases of released schema versions, and their rows."""

from __future__ import annotations

import lzma
import re
from pathlib import Path
from typing import Any

import duckdb

from mysticanvas.home import HomePaths

DATABASES = Path(__file__).with_name("databases")

Rows = dict[str, list[dict[str, Any]]]


def versions() -> list[int]:
    """The schema versions that a database is stored of."""
    found = (re.fullmatch(r"v(\d+)\.duckdb\.xz", path.name) for path in DATABASES.iterdir())
    return sorted(int(match[1]) for match in found if match)


def unpack(version: int, home: Path) -> HomePaths:
    """A home with the stored database of a version."""
    paths = HomePaths.of(home)
    paths.create()
    packed = (DATABASES / f"v{version}.duckdb.xz").read_bytes()
    paths.database.write_bytes(lzma.decompress(packed))
    return paths


def rows(database: Path) -> Rows:
    """Every row of a database that nobody has open, by table."""
    with duckdb.connect(str(database), read_only=True) as connection:
        names = connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()
        return {name: _rows(connection, name) for (name,) in names}


def scanned_and_found(database: Path, table: str, key: str) -> tuple[list[Any], list[Any]]:
    """The keys of a table as a scan gives them, and those that are found by their key."""
    with duckdb.connect(str(database), read_only=True) as connection:
        scan = connection.execute(f"SELECT {key} FROM {table} WHERE {key} IS NOT NULL").fetchall()
        by_key = f"SELECT {key} FROM {table} WHERE {key} = ?"
        found = [row for keys in scan for row in connection.execute(by_key, keys).fetchall()]
        return scan, found


def _rows(connection: duckdb.DuckDBPyConnection, table: str) -> list[dict[str, Any]]:
    cursor = connection.execute(f"SELECT * FROM {table} ORDER BY ALL")
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
