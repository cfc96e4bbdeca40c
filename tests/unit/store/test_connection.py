"""One writer, readers of their own, and DuckDB's errors as ours."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest

from mysticanvas.errors import StoreError
from mysticanvas.store import Store
from mysticanvas.store.connection import Database

DUPLICATE = r"(?i)duplicate key"


@pytest.fixture
def database(store: Store) -> Database:
    with store.database.write() as transaction:
        transaction.run("CREATE TABLE numbers (n INTEGER PRIMARY KEY, half INTEGER UNIQUE)")
    return store.database


def numbers(database: Database) -> list[int]:
    return [row["n"] for row in database.read("SELECT n FROM numbers ORDER BY n")]


def test_a_write_is_kept_whole(database: Database) -> None:
    with database.write() as transaction:
        transaction.run("INSERT INTO numbers (n) VALUES (1)")
        transaction.run("INSERT INTO numbers (n) VALUES ($n)", n=2)
    assert numbers(database) == [1, 2]


def insert_twice(database: Database, n: int) -> None:
    with database.write() as transaction:
        transaction.run("INSERT INTO numbers (n) VALUES (1)")
        transaction.run("INSERT INTO numbers (n) VALUES ($n)", n=n)


def insert_and_divide(database: Database, by: int) -> None:
    with database.write() as transaction:
        transaction.run("INSERT INTO numbers (n) VALUES ($n)", n=1 // by)


def insert_and_swallow(database: Database) -> None:
    with database.write() as transaction:
        transaction.run("INSERT INTO numbers (n) VALUES (1)")
        with contextlib.suppress(duckdb.Error):
            transaction.run("SELECT no_such_column FROM numbers")


def test_an_exception_undoes_the_write(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        insert_and_divide(database, 0)
    assert numbers(database) == []


def test_a_failed_statement_undoes_the_write(database: Database) -> None:
    with pytest.raises(StoreError, match=DUPLICATE):
        insert_twice(database, 1)
    assert numbers(database) == []


def test_a_failed_statement_cannot_be_swallowed(database: Database) -> None:
    """DuckDB would report success for the COMMIT, and keep nothing."""
    with pytest.raises(StoreError, match="none of it was kept"):
        insert_and_swallow(database)
    assert numbers(database) == []


def test_the_writer_works_on_after_a_failure(database: Database) -> None:
    for _ in range(3):
        with pytest.raises(StoreError), database.write() as transaction:
            transaction.run("nonsense")
    with database.write() as transaction:
        transaction.run("INSERT INTO numbers (n) VALUES (7)")
    assert numbers(database) == [7]


def test_a_reader_does_not_see_what_is_not_committed(database: Database) -> None:
    with database.write() as transaction:
        transaction.run("INSERT INTO numbers (n) VALUES (1)")
        assert numbers(database) == []
    assert numbers(database) == [1]


def test_writers_take_turns(database: Database) -> None:
    """A read-modify-write of many threads loses nothing."""
    with database.write() as transaction:
        transaction.run("INSERT INTO numbers VALUES (1, 0)")

    def add_one(_: int) -> None:
        with database.write() as transaction:
            [row] = transaction.run("SELECT half FROM numbers")
            transaction.run("UPDATE numbers SET half = $half", half=row["half"] + 1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add_one, range(64)))
    assert database.read("SELECT half FROM numbers") == [{"half": 64}]


def test_every_thread_gets_its_own_answers(database: Database) -> None:
    gate = threading.Barrier(4)

    def ask(thread: int) -> list[bool]:
        gate.wait()
        wanted = range(thread * 1000, thread * 1000 + 100)
        return [database.read("SELECT $n AS n", n=n) == [{"n": n}] for n in wanted]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert all(map(all, answers))


def test_a_failed_read_says_why_and_spoils_nothing(database: Database) -> None:
    with pytest.raises(StoreError, match="no_such_table"):
        database.read("SELECT * FROM no_such_table")
    assert numbers(database) == []


def test_after_close_every_call_says_so(database: Database) -> None:
    database.close()
    with pytest.raises(StoreError, match="closed"):
        database.read("SELECT 1")
    with pytest.raises(StoreError, match="closed"), database.write():
        pass
    with pytest.raises(StoreError, match="closed"):
        database.checkpoint()


def test_a_fatal_error_stops_the_store_with_a_way_out(database: Database) -> None:
    fatal = duckdb.FatalException("FATAL Error: the disk is gone\nStack trace: …")
    with pytest.raises(StoreError, match="the disk is gone") as caught, database.write():
        raise fatal
    assert "mysticanvas stop" in caught.value.hint
    with pytest.raises(StoreError, match="the disk is gone"):
        database.read("SELECT 1")
