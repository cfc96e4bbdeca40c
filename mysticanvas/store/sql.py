"""Queries of the user's own: run, limited and written out as Arrow.

A result goes to a nameless file first. So an error in its last row is still an error of the call,
memory does not grow with the result, and a slow reader keeps no transaction open.

The limits guard against mistakes: a query shares processor and memory with the rest of the store.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import duckdb

from mysticanvas.contracts.params import refused
from mysticanvas.contracts.sql import SqlRequest
from mysticanvas.errors import InvalidRequest
from mysticanvas.store import failures, queries, select, views
from mysticanvas.store.connection import Database

MAX_RESULT_BYTES = 1 << 30
_BATCH_ROWS = 10_000
_SQL = queries.load("select")
_UNKNOWN_TO_ARROW = frozenset({"VARIANT", "UHUGEINT"})
_NOT_OF_THE_QUERY = ("IO Error", "FATAL Error", "INTERNAL Error", "Transaction")
"""What DuckDB's complaints begin with that say nothing about the query."""


class Sql:
    """Runs one query after the other, from any thread.

    Args:
        folder: where results are kept while they are read.
        timeout_s: seconds that a query may take.
        max_rows: rows that it may give.
    """

    def __init__(self, database: Database, folder: Path, timeout_s: float, max_rows: int) -> None:
        self._database = database
        self._folder = folder
        self._timeout_s = timeout_s
        self._max_rows = max_rows
        self._running = threading.Lock()
        self._functions: frozenset[str] | None = None

    def run(self, request: SqlRequest) -> IO[bytes]:
        """The result as an Arrow IPC stream, in an open file at its beginning.

        Raises:
            InvalidRequest: the query is not allowed, wrong, too slow or gives too much.
            StoreFull: the disk has no room for the result.
            StoreError: the store is closed or cannot answer.
        """
        with self._running, self._database.cursor() as cursor:
            views.create(cursor)
            if request.query is None:
                columns = views.describe(cursor)
                fields = views.Described._fields
                values = {name: [getattr(column, name) for column in columns] for name in fields}
                return self._spooled(cursor, _SQL["documentation"], values)
            if self._functions is None:
                self._functions = select.functions(cursor)
            select.check(cursor, request.query, self._functions)
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            with self._limited(cursor, request.query):
                return self._spooled(cursor, request.query, request.params)

    @contextlib.contextmanager
    def _limited(self, cursor: duckdb.DuckDBPyConnection, query: str) -> Iterator[None]:
        """Interrupt what runs on the cursor when its time is over; errors of a query as ours."""
        late = threading.Event()

        def interrupt() -> None:
            late.set()
            cursor.interrupt()

        timer = threading.Timer(self._timeout_s, interrupt)
        timer.start()
        try:
            yield
        except (duckdb.Error, OSError, RuntimeError) as error:
            # A complaint in the middle of a result comes out of Arrow's reader, as an OSError.
            if late.is_set():
                raise self._too_slow() from None
            raise _translated(error, query) from error
        finally:
            timer.cancel()

    def _spooled(self, cursor: duckdb.DuckDBPyConnection, query: str, params: Any) -> IO[bytes]:
        # It takes 40 MB, which only those pay for who use it.
        import pyarrow.ipc

        cursor.execute(query, params or None)
        for column in cursor.description or ():
            if str(column[1]) in _UNKNOWN_TO_ARROW:
                raise InvalidRequest(
                    f"The column {column[0]} has the type {column[1]}, which no table can hold.",
                    parameter="query",
                    hint="Cast it to VARCHAR.",
                )
        reader = cursor.to_arrow_reader(_BATCH_ROWS)
        with contextlib.ExitStack() as on_failure:
            file = on_failure.enter_context(tempfile.TemporaryFile(dir=self._folder))
            rows = 0
            with pyarrow.ipc.new_stream(file, reader.schema) as stream:
                for batch in reader:
                    rows += batch.num_rows
                    self._check_size(rows, file.tell())
                    stream.write_batch(batch)
            file.seek(0)
            on_failure.pop_all()
        return file

    def _check_size(self, rows: int, size: int) -> None:
        if rows > self._max_rows or size > MAX_RESULT_BYTES:
            limits = f"{self._max_rows:,} rows and {MAX_RESULT_BYTES >> 20:,} MiB"
            raise InvalidRequest(
                f"The query gives more than {limits}; nothing of its result was kept.",
                parameter="query",
                allowed=f"a result of at most {limits}",
                hint="Add LIMIT or fewer columns, aggregate, or set MYSTICANVAS_SQL_MAX_ROWS.",
            )

    def _too_slow(self) -> InvalidRequest:
        return InvalidRequest(
            f"The query took longer than {self._timeout_s:g} s and was ended.",
            parameter="query",
            allowed=f"a query of at most {self._timeout_s:g} s",
            hint="Narrow it down, or set MYSTICANVAS_SQL_TIMEOUT_S.",
        )


def _translated(error: Exception, query: str) -> Exception:
    """What went wrong while a query ran: mostly the query."""
    text = str(error)
    if isinstance(error, RuntimeError):
        # The driver's answer to text with a lone surrogate, which is no Unicode text.
        return refused("params", text, "Unicode text")
    if isinstance(error, duckdb.FatalException):
        return error
    if failures.is_full(text) or text.startswith(_NOT_OF_THE_QUERY):
        return failures.of(duckdb.Error(text))
    if text.startswith("INTERRUPT"):
        return duckdb.InterruptException(text)
    if text.startswith("Out of Memory"):
        return InvalidRequest(
            "The query needs more memory than the store may take.",
            parameter="query",
            hint="Narrow it down, or take fewer columns: recipes are long.",
        )
    return select.explained(text, query)
