"""The documented views of `canvas.sql`: what a user may rely on, whatever the tables become.

They are temporary views of the cursor that runs a query. So they are no part of the schema, need
no migration, and nobody else meets them. `queries/views.sql` is both their SQL and their
documentation: the sentence beside a column is the one that `canvas.sql()` shows.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import duckdb

from mysticanvas.store import queries

_SENTENCE = re.compile(r"-- (.+)$", re.MULTILINE)
_NAME = re.compile(r"(\w+),? +-- ")


class View(NamedTuple):
    """A view: its query, with name and sentence of each column, in order."""

    name: str
    sql: str
    description: str
    names: list[str]
    columns: list[str]


def _view(name: str, sql: str) -> View:
    description, *columns = _SENTENCE.findall(sql)
    return View(name, sql, description, _NAME.findall(sql), columns)


VIEWS = tuple(_view(name, sql) for name, sql in queries.load("views").items())
NAMES = frozenset(view.name for view in VIEWS)


class Described(NamedTuple):
    """A column of a view as `canvas.sql()` shows it."""

    view: str
    column: str
    type: str
    description: str


def create(cursor: duckdb.DuckDBPyConnection) -> None:
    """Make the views, for this cursor alone."""
    for view in VIEWS:
        cursor.execute(f"CREATE TEMP VIEW {view.name} AS {view.sql}")


def describe(cursor: duckdb.DuckDBPyConnection) -> list[Described]:
    """Every column of every view that `create` made on this cursor."""
    return [
        Described(view.name, column[0], column[1], sentence)
        for view in VIEWS
        for column, sentence in zip(
            cursor.execute(f"DESCRIBE {view.name}").fetchall(), view.columns, strict=True
        )
    ]
