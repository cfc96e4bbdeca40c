"""Queries of users: what comes back, and what ends them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from mysticanvas.contracts import ids
from mysticanvas.contracts.sql import SqlRequest
from mysticanvas.errors import InvalidRequest, StoreError
from mysticanvas.home import HomePaths
from mysticanvas.store import Store, sql as sql_module
from mysticanvas.store.sql import Sql

Ask = Callable[..., pa.Table]


def table(sql: Sql, query: str | None, params: Any = None) -> pa.Table:
    with sql.run(SqlRequest(query=query, params=params)) as file:
        return pa.ipc.open_stream(file).read_all()


@pytest.fixture
def ask(store: Store, paths: HomePaths) -> Ask:
    sql = Sql(store.database, paths.run, timeout_s=60, max_rows=1000)
    return lambda query=None, params=None: table(sql, query, params)


def test_a_picture_comes_out_as_it_was_recorded(store: Store, maker: Any, ask: Ask) -> None:
    image = maker.image(ids.new_id(), maker.recipe(seed=2**64 - 2))
    store.images.add([image])
    [row] = ask("FROM images").to_pylist()
    assert (row["id"], row["job"], row["seed"]) == (image.id, image.job_id, 2**64 - 2)
    assert (row["path"], row["parent"], row["rating"]) == (image.file.path, None, None)
    assert row["created_at"] == image.created_at
    assert ask("SELECT recipe->>'$.preset' AS p FROM images").to_pylist() == [{"p": "tiny"}]


def test_without_a_query_the_views_are_described(ask: Ask) -> None:
    rows = ask().to_pylist()
    assert {
        "view": "images",
        "column": "seed",
        "type": "UBIGINT",
        "description": "The seed of this very picture.",
    } in rows
    assert all(row["description"] for row in rows)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1", 1),
        ("NULL", None),
        ("18446744073709551615::UBIGINT", 2**64 - 1),
        ("170141183460469231731687303715884105727::HUGEINT", Decimal(2**127 - 1)),
        ("'0190aaaa-0000-7000-8000-000000000000'::UUID", "0190aaaa-0000-7000-8000-000000000000"),
        ("'{\"a\": 1}'::JSON", '{"a": 1}'),
        ("[1, NULL, 3]", [1, None, 3]),
        ("{'a': 1, 'b': ['x']}", {"a": 1, "b": ["x"]}),
        ("1.25::DECIMAL(5, 2)", Decimal("1.25")),
        ("'замок 城 🏰'", "замок 城 🏰"),
        ("'\\x00\\xff'::BLOB", b"\x00\xff"),
    ],
)
def test_types_arrive(ask: Ask, expression: str, value: object) -> None:
    assert ask(f"SELECT {expression} AS value").to_pylist() == [{"value": value}]


def test_times_are_in_utc_wherever_the_machine_is(ask: Ask) -> None:
    [field] = ask("SELECT created_at FROM images").schema
    assert str(field.type) == "timestamp[us, tz=UTC]"
    text = "SELECT '2026-05-04 03:02:01+00'::TIMESTAMPTZ::VARCHAR AS text"
    assert ask(text).to_pylist() == [{"text": "2026-05-04 03:02:01+00"}]


def test_a_type_that_no_table_can_hold_is_named(ask: Ask) -> None:
    with pytest.raises(InvalidRequest, match="VARIANT"):
        ask("SELECT '{}'::VARIANT AS value")


def test_columns_of_the_same_name_are_both_there(ask: Ask) -> None:
    assert ask("SELECT 1 AS a, 2 AS a").column_names == ["a", "a"]


@pytest.mark.parametrize(
    ("query", "params", "values"),
    [
        ("SELECT $1 AS a, $2 AS b", [1, "x"], (1, "x")),
        ("SELECT ? AS a, ? AS b", [None, True], (None, True)),
        ("SELECT $b AS a, $a AS b", {"a": 1.5, "b": [1, 2]}, ([1, 2], 1.5)),
        (
            "SELECT 'b' = ANY($1) AS a, '; DROP VIEW images' = $2 AS b",
            [["a", "b"], "x"],
            (True, False),
        ),
        ("SELECT $1 AS a, 1 AS b", [2**64], (Decimal(2**64), 1)),
    ],
)
def test_parameters_are_values(ask: Ask, query: str, params: Any, values: Any) -> None:
    assert ask(query, params).to_pylist() == [{"a": values[0], "b": values[1]}]


@pytest.mark.parametrize(
    ("query", "params"), [("SELECT $1", None), ("SELECT 1", [1]), ("SELECT $a", {"b": 1})]
)
def test_parameters_have_to_fit_the_query(ask: Ask, query: str, params: Any) -> None:
    with pytest.raises(InvalidRequest, match="(?i)parameter"):
        ask(query, params)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELEC 1", r"syntax error at or near \"SELEC\"\nLINE 1: SELEC 1\n"),
        ("SELECT nope\nFROM images", r"column \"nope\" not found.*\nLINE 1: SELECT nope"),
        ("SELECT 1,\n  'x'::INTEGER", r"Could not convert string 'x'.*\nLINE 2: "),
        ("SELECT error('boo')", "boo"),
        ("SELECT (SELECT unnest([1, 2]))", "More than one row"),
        ("SELECT sum('x' || range) FROM range(10)", "No function matches"),
        (
            "SELECT CAST(CASE WHEN range = 900 THEN 'x' ELSE '1' END AS INT) FROM range(999)",
            "INT32",
        ),
    ],
)
def test_an_error_of_the_query_says_what_and_where(ask: Ask, query: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as refused:
        ask(query)
    assert refused.value.parameter == "query"
    assert ask("SELECT 1 AS a").num_rows == 1


@pytest.mark.parametrize("column", ["nope", "i.nope"])
def test_a_column_that_there_is_not_is_told_those_there_are(ask: Ask, column: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ask(f"SELECT {column} FROM Images AS i")
    [own, general] = refused.value.hint.strip().splitlines()
    assert own.startswith("images has: id, seq, job, ")
    assert "canvas.sql()" in general


def test_a_list_of_ids_is_compared_with_ids(store: Store, maker: Any, ask: Ask) -> None:
    image = maker.image(ids.new_id())
    store.images.add([image])
    with pytest.raises(InvalidRequest, match=r"compared with ids as `id = ANY\(\$1::UUID\[\]\)`"):
        ask("FROM images WHERE id = ANY($1)", [[image.id]])
    assert ask("FROM images WHERE id = ANY($1::UUID[])", [[image.id]]).num_rows == 1


def test_a_result_that_is_too_long_is_refused_whole(ask: Ask) -> None:
    assert ask("FROM range(1000)").num_rows == 1000
    with pytest.raises(InvalidRequest, match="more than 1,000 rows"):
        ask("FROM range(1001)")


def test_a_result_that_is_too_large_is_refused_whole(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_module, "MAX_RESULT_BYTES", 1000)
    monkeypatch.setattr(sql_module, "_BATCH_ROWS", 100)
    with pytest.raises(InvalidRequest, match="more than"):
        ask("FROM range(1000)")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM range(100000000) AS a, range(100000000) AS b",
        "SELECT a.range + b.range FROM range(100000000) AS a, range(100000000) AS b",
    ],
)
def test_a_query_that_takes_too_long_is_ended(store: Store, paths: HomePaths, query: str) -> None:
    sql = Sql(store.database, paths.run, timeout_s=0.5, max_rows=10**18)
    with pytest.raises(InvalidRequest, match="longer than 0.5 s"):
        table(sql, query)
    assert table(sql, "SELECT 1 AS a").num_rows == 1


def test_a_query_that_needs_too_much_memory_is_ended_and_writes_go_on(
    store: Store, maker: Any, ask: Ask
) -> None:
    with pytest.raises(InvalidRequest, match="memory"):
        ask("SELECT list(range) FROM range(1000000000)")
    store.images.add([maker.image(ids.new_id())])
    assert ask("FROM images").num_rows == 1


def test_closing_the_store_ends_a_query(store: Store, paths: HomePaths) -> None:
    sql = Sql(store.database, paths.run, timeout_s=600, max_rows=10**18)
    outcome: list[BaseException] = []

    def run() -> None:
        try:
            table(sql, "SELECT count(*) FROM range(100000000) AS a, range(100000000) AS b")
        except StoreError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not store.database._lent and thread.is_alive():
        thread.join(0.01)
    store.close()
    thread.join(120)
    assert not thread.is_alive()
    assert "is closed" in str(outcome[0])


def test_no_file_of_a_result_is_left(ask: Ask, paths: HomePaths) -> None:
    before = sorted(paths.run.iterdir())
    ask("FROM range(10)")
    with pytest.raises(InvalidRequest):
        ask("FROM range(1001)")
    assert sorted(paths.run.iterdir()) == before
