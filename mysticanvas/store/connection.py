"""One writer, readers on cursors of their own, and one shape of failure.

Three hazards of DuckDB shape this module. A cursor that several threads share delivers results to
the wrong one, so a read borrows a cursor that nobody else has meanwhile. Concurrent writers lose
updates, so there is one at a time. And COMMIT after a failed statement reports success although
it rolls back, so a transaction with a failed statement is never committed.
"""

from __future__ import annotations

import contextlib
import resource
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from mysticanvas.errors import StoreError
from mysticanvas.store import checkpoints, failures, inserts

CATALOG = "mysticanvas"
"""The name that the database is attached under."""
STORAGE = "STORAGE_VERSION 'v1.4.0', ROW_GROUP_SIZE 16384"
"""Options of ATTACH. That version survives a kill in the middle of schema changes, and notices a
log that is not the file's own. And a CHECKPOINT writes the row group anew that rows were added to,
with all its columns: 100 pictures take 50 ms so, and 2 s with groups of 122,880, the default."""
NEW_STORAGE = f"{STORAGE}, BLOCK_SIZE 65536"
"""Options of ATTACH for a file that is made; one that is there keeps the size of its blocks, and
is refused with another. A block for each column is in memory while rows are added, and is read for
any row of it: with the default of 262,144, that is 20 MB more after the first pictures, and twice
the time for a page of a tag."""

Row = dict[str, Any]
_INTERRUPT_EVERY_S = 0.1


class Transaction:
    """What `Database.write` hands out; all of it is kept, or nothing."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor
        self._failed = False

    def run(self, sql: str, /, **parameters: object) -> list[Row]:
        """Run one statement; its rows, if it gives any."""
        try:
            return rows(self._cursor, sql, parameters)
        except BaseException:
            self._failed = True
            raise

    def insert(self, table: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Append rows that have the same columns: the quickest way for one, and for thousands."""
        try:
            inserts.insert(self._cursor, table, rows)
        except BaseException:
            self._failed = True
            raise

    def change(self, sql: str, /, **parameters: object) -> int:
        """Run one UPDATE or DELETE without RETURNING, which costs as much again; how many rows
        it changed."""
        return int(self.run(sql, **parameters)[0]["Count"])

    def commit(self) -> None:
        if self._failed:
            raise StoreError("A statement of this transaction failed, so none of it was kept.")
        self._cursor.execute("COMMIT")


class Database:
    """The open database, for use from any thread.

    Args:
        root: a connection that has the database attached as `CATALOG`; owned from here on. DuckDB
            must not CHECKPOINT by itself: a full disk in the middle of it would stop the database,
            reads included.
        file: the database's file, of which only the size is ever asked.
        in_place: whether the file's path still leads to it. DuckDB makes and removes its log by
            path, and where the home was made again, that is the log of another.
    """

    def __init__(
        self, root: duckdb.DuckDBPyConnection, file: Path, in_place: Callable[[], bool]
    ) -> None:
        self._root = root
        self._file = file
        self._in_place = in_place
        self._log = file.with_name(f"{file.name}.wal")
        self._writer = self._new_cursor()
        self._writing = threading.Lock()
        self._readers = threading.Condition()
        self._idle: list[duckdb.DuckDBPyConnection] = []
        self._lent: set[duckdb.DuckDBPyConnection] = set()
        self._reads = 0
        self._refusal: StoreError | None = None
        self.commits = 0
        """Counts the transactions that were kept. While it stays, what was read stays true."""
        self.asked = 0
        """Counts calls of `read` and `write`. While it stays, nobody waits but for maintenance."""
        self._moved = 0
        """How many of them the log does not hold any more."""

    def read(self, sql: str, /, **parameters: object) -> list[Row]:
        """Run one query on the newest committed state.

        Raises:
            StoreError: the database could not answer, or the store is closed.
        """
        self.asked += 1
        with self._borrowed() as cursor, self._translated():
            return rows(cursor, sql, parameters)

    @contextlib.contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for reading what takes more than one statement; it is closed at the end.

        Names have to be qualified on it: `CATALOG.main.images`. `close` interrupts what runs.

        Raises:
            StoreError: the store is closed, or is being closed.
        """
        with self._readers:
            self._check()
            cursor = self._root.cursor()
            self._lent.add(cursor)
            self._reads += 1
        try:
            with self._translated():
                yield cursor
        finally:
            cursor.close()
            with self._readers:
                self._lent.remove(cursor)
                self._reads -= 1
                self._readers.notify_all()

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        """One transaction, alone: committed at the end, rolled back on any exception.

        It must not be entered again by the thread that is in it.

        Raises:
            StoreFull: the disk is full; nothing of the transaction was kept.
            StoreError: any other failure; nothing of the transaction was kept.
        """
        self.asked += 1
        with self._writing, self._translated():
            self._check_place()
            with _transaction(self._writer) as transaction:
                yield transaction
            self.commits += 1
            self._relieve()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Transaction]:
        """Several reads of one and the same committed state.

        Raises:
            StoreError: the database could not answer, or the store is closed.
        """
        with self._borrowed() as cursor, self._translated(), _transaction(cursor) as transaction:
            yield transaction

    @contextlib.contextmanager
    def background(self) -> Iterator[Transaction]:
        """A long transaction beside the writer's, which it neither waits for nor holds up.

        It may change only tables that nobody else does, and it has one thread at a time: two that
        change a row lose one of the changes.

        Raises:
            StoreFull, StoreError: as `write`.
        """
        self._check_place()
        with self.snapshot() as transaction:
            yield transaction
        with self._readers:
            self.commits += 1
        with self._writing, self._translated():
            self._relieve()

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Transaction]:
        """Statements outside the file, in memory, each kept at once; for what can be made again.

        Raises:
            StoreError: a statement failed.
        """
        with self._borrowed() as cursor, self._translated():
            cursor.execute("USE memory")
            try:
                yield Transaction(cursor)
            finally:
                cursor.execute(f"USE {CATALOG}")

    def check_open(self) -> None:
        """For long work that is not one statement.

        Raises:
            StoreError: the store is closed, or is being closed.
        """
        self._check()

    def check_in_place(self) -> None:
        """For whoever changes files of the home by their paths.

        Raises:
            StoreError: the store is closed, or its folder was deleted and is another's by now.
        """
        self._check_place()

    def checkpoint(self) -> None:
        """Move what the write-ahead log holds into the database file.

        Raises:
            StoreFull: there is no room for it; nothing was begun, and reads and writes go on.
            StoreError: it could not be done; no row is lost by that.
        """
        with self._writing, self._translated():
            self._checkpoint()

    def close(self) -> None:
        """Wait for what runs, then let go of the file. Later calls raise StoreError."""
        with self._writing, self._readers:
            self._refusal = StoreError("The store is closed.")
            while not self._readers.wait_for(lambda: self._reads == 0, _INTERRUPT_EVERY_S):
                # Again, since one that comes between two statements is forgotten.
                for cursor in self._lent:
                    cursor.interrupt()
            if not self._in_place():
                # One that has stopped answers with an error, and makes none.
                with contextlib.suppress(duckdb.Error):
                    self._root.execute("PRAGMA disable_checkpoint_on_shutdown")
            for connection in (*self._idle, self._writer, self._root):
                connection.close()
            self._idle.clear()

    def _checkpoint(self) -> None:
        self._check_place()
        commits, log = self.commits, _size(self._log)
        needed = checkpoints.room(log, _size(self._file))
        free = _free(self._file)
        if log and free < needed:
            raise failures.no_room(needed, free)
        self._writer.execute(f"CHECKPOINT {CATALOG}")
        self._moved = commits

    def _relieve(self) -> None:
        """Checkpoint once the log is long. What was committed stays so, whatever becomes of it."""
        held = self.commits - self._moved
        if self._refusal is not None or not checkpoints.due(held, _size(self._log)):
            return
        try:
            self._checkpoint()
        except duckdb.FatalException as error:
            self._refusal = failures.fatal(error)
        except (duckdb.Error, StoreError):
            # A full disk, or a snapshot that a backup holds: the next commit tries again.
            return

    def _new_cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = self._root.cursor()
        cursor.execute(f"USE {CATALOG}")
        return cursor

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._readers:
            self._check()
            cursor = self._idle.pop() if self._idle else self._new_cursor()
            self._reads += 1
        try:
            yield cursor
        finally:
            with self._readers:
                self._idle.append(cursor)
                self._reads -= 1
                self._readers.notify_all()

    def _check(self) -> None:
        if self._refusal is not None:
            raise type(self._refusal)(self._refusal.detail, hint=self._refusal.hint)

    def _check_place(self) -> None:
        if self._refusal is None and not self._in_place():
            self._refusal = StoreError(
                f"The folder of {self._file} was deleted while it was in use, so nothing can be "
                "recorded.",
                hint="Try again: an orchestrator is started for the folder that is there now.",
            )
        self._check()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except duckdb.FatalException as error:
            # DuckDB refuses everything from now on, until the file is opened again.
            self._refusal = failures.fatal(error)
            raise self._refusal from error
        except duckdb.Error as error:
            if isinstance(error, duckdb.InterruptException):
                self._check()
            raise failures.of(error) from error


@contextlib.contextmanager
def _transaction(cursor: duckdb.DuckDBPyConnection) -> Iterator[Transaction]:
    cursor.execute("BEGIN")
    transaction = Transaction(cursor)
    try:
        yield transaction
        transaction.commit()
    except BaseException:
        # A COMMIT that failed has rolled back already, and then there is no transaction.
        with contextlib.suppress(duckdb.Error):
            cursor.execute("ROLLBACK")
        raise


def _size(file: Path) -> int:
    """Bytes of a file, by `stat` alone; 0 if there is none."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _free(file: Path) -> int:
    """Bytes that a file can grow by: what the disk has left, and what the process may write."""
    free = shutil.disk_usage(file.parent).free
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return free if limit == resource.RLIM_INFINITY else min(free, max(0, limit - _size(file)))


def rows(
    cursor: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, object] | None = None
) -> list[Row]:
    """Run one statement on a cursor; its rows as dictionaries."""
    try:
        cursor.execute(sql, parameters or None)
    except RuntimeError as error:
        # The driver's answer to text with a lone surrogate, which is no Unicode text.
        raise StoreError(f"A value cannot be stored: {error}") from error
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
