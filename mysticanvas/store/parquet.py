"""Rows out of the open database as Parquet, within its memory.

Whoever writes Parquet holds a row group as a whole, several times over, and DuckDB's own of 122,880
rows are more of the store's tables than its memory: from 80,000 pictures on, nothing could be
written. The smallest groups that it makes still are so many rows, which are long where prompts are;
so a table as a whole is written in files of so many bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import duckdb

from mysticanvas.store import queries
from mysticanvas.store.connection import CATALOG, rows

OPTIONS = "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 2048)"
"""Of every COPY: the smallest row groups that DuckDB makes. They take a twentieth more of the disk
than those of its default, and are as quick."""
MOST_BYTES = 8 << 20
"""Of the rows in one file, which take four to five times as much of the memory while they are
written; a block of rows that alone has more is a file of its own."""
BLOCK = 64
"""Rows whose bytes are counted together."""
_VALUE_BYTES = 16
"""Of a value, beside its text."""
_SQL = queries.load("parquet")


def quoted(path: Path) -> str:
    """A path as it stands in a statement between single quotes."""
    return str(path).replace("'", "''")


def ranges(blocks: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The rows of a table in pieces that can be written at once: the first row id of each, and the
    one behind it.

    Args:
        blocks: number and bytes of each block of row ids that has rows, in order.
    """
    first = end = held = 0
    for number, size in blocks:
        if held and held + size > MOST_BYTES:
            yield first, end
            held = 0
        first = first if held else number * BLOCK
        end = (number + 1) * BLOCK
        held += size
    if held:
        yield first, end


def write(
    cursor: duckdb.DuckDBPyConnection,
    table: str,
    folder: Path,
    check: Callable[[], None],
) -> dict[Path, int]:
    """Write a table; its files in the order of its rows, and the rows of each.

    Args:
        cursor: in a transaction, which says of which moment the rows are.
        folder: where the database may write.
        check: called before each file.
    """
    # Tables are few and named by us, as their columns are; a path is not.
    source = f"{CATALOG}.main.{table}"
    columns = rows(cursor, _SQL["columns"], {"catalog": CATALOG, "table": table})
    lengths = [f"strlen({each['name']})" for each in columns if each["is_text"]]
    # A column at a time: DuckDB takes 2,048 rows of all that are read into its memory.
    each_column = " UNION ALL ".join(
        f"SELECT rowid // {BLOCK} AS block, {value} AS bytes FROM {source}"
        for value in (_VALUE_BYTES * len(columns), *lengths)
    )
    sizes = rows(cursor, _SQL["blocks"].format(values=each_column))
    written = {}
    for first, end in ranges((row["block"], row["bytes"]) for row in sizes):
        check()
        file = folder / f"{table}-{first}.parquet"
        chosen = f"FROM {source} WHERE rowid >= {first} AND rowid < {end}"
        copied = cursor.execute(f"COPY ({chosen}) TO '{quoted(file)}' {OPTIONS}").fetchall()
        written[file] = copied[0][0]
    return written
