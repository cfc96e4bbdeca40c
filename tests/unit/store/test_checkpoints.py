"""When the write-ahead log is moved, and what moving it costs."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from mysticanvas.contracts.ids import new_id
from mysticanvas.home import HomePaths
from mysticanvas.store import Store, checkpoints, migrate
from mysticanvas.store.checkpoints import MAX_BYTES, MAX_COMMITS, due
from mysticanvas.store.connection import CATALOG


@pytest.mark.parametrize(
    ("commits", "log_bytes", "expected"),
    [
        (0, 0, False),
        (MAX_COMMITS - 1, MAX_BYTES - 1, False),
        (MAX_COMMITS, 1, True),
        (1, MAX_BYTES, True),
    ],
)
def test_when_it_is_due(commits: int, log_bytes: int, expected: bool) -> None:
    assert due(commits, log_bytes) is expected


def log_bytes(paths: HomePaths) -> int:
    log = paths.write_ahead_log
    return log.stat().st_size if log.exists() else 0


def test_many_small_commits_do_not_pile_up_in_the_log(
    store: Store, paths: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "MAX_COMMITS", 5)
    store.checkpoint()
    for count in range(1, 11):
        store.facts.set("count", count)
        assert (log_bytes(paths) == 0) == (count % 5 == 0), count


def test_neither_does_background_work(
    store: Store, paths: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "MAX_BYTES", 1)
    with store.database.background() as transaction:
        transaction.run("INSERT INTO search_words VALUES ('castle')")
    assert log_bytes(paths) == 0
    assert store.database.read("SELECT word FROM search_words") == [{"word": "castle"}]


def groups(store: Store, table: str) -> list[int]:
    """The rows of each row group."""
    sql = f"""
    SELECT max(count)::BIGINT AS rows FROM pragma_storage_info('{table}')
    WHERE segment_type <> 'VALIDITY' GROUP BY row_group_id ORDER BY row_group_id
    """
    return [row["rows"] for row in store.database.read(sql)]


def test_a_row_group_is_small(store: Store) -> None:
    """A checkpoint writes the last one again, whatever was added to it."""
    with store.database.write() as transaction:
        transaction.run("INSERT INTO search_words SELECT 'word' || range FROM range(20_000)")
    store.checkpoint()
    assert groups(store, "search_words") == [16_384, 20_000 - 16_384]


def test_the_blocks_of_a_new_file_are_small(store: Store) -> None:
    """One for each column is held in memory while rows are added."""
    [sizes] = store.database.read(
        f"SELECT block_size FROM pragma_database_size() WHERE database_name = '{CATALOG}'"
    )
    assert sizes == {"block_size": 65_536}


def test_a_store_with_larger_blocks_and_row_groups_is_gone_on_with(
    paths: HomePaths, maker: Any
) -> None:
    paths.create()
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{paths.database}' AS {CATALOG} (STORAGE_VERSION 'v1.4.0')")
        connection.execute(f"USE {CATALOG}")
        migrate.run(connection)
        connection.execute("INSERT INTO search_words SELECT 'old' || range FROM range(50_000)")
        connection.execute("CHECKPOINT")
    for place in range(2):
        with Store.open(paths) as store:
            store.images.add([maker.image(new_id())])
            with store.database.write() as transaction:
                transaction.run("INSERT INTO search_words VALUES ($word)", word=f"new{place}")
    with Store.open(paths) as store:
        assert groups(store, "search_words") == [50_000, 2]
        [counted] = store.database.read(
            "SELECT count(*) AS rows, count(DISTINCT word) AS words FROM search_words"
        )
        assert counted == {"rows": 50_002, "words": 50_002}
        assert [card.seq for card in store.images.page().items] == [2, 1]
