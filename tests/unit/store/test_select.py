"""What `canvas.sql` lets through: one SELECT over the views, and nothing that does more."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings, strategies as st
from makers import Maker
from selects import ALLOWED, EXPRESSIONS, GROWING, SOURCES, STATEMENTS

from mysticanvas.contracts import ids
from mysticanvas.errors import InvalidRequest
from mysticanvas.home import HomePaths
from mysticanvas.settings import MAX_SQL_CHARS
from mysticanvas.store import Store, estimate, growth, select, views


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with a line of pictures, each made from the one before."""
    maker, parent = Maker(), None
    with Store.open(HomePaths.of(tmp_path_factory.mktemp("select") / "home")) as store:
        for prompt in ("a red hat", "a blue hat, 'so' \"to\" say", "a cat"):
            image = maker.image(
                ids.new_id(), maker.recipe(prompt=prompt), parent=parent, tags=["noir", "hats"]
            )
            store.images.add([image])
            parent = image.id
        maker.added(store)
        yield store


@pytest.fixture(scope="module")
def cursor(opened: Store) -> Iterator[duckdb.DuckDBPyConnection]:
    with opened.database.cursor() as cursor:
        views.create(cursor)
        yield cursor


@pytest.fixture(scope="module")
def known(cursor: duckdb.DuckDBPyConnection) -> frozenset[str]:
    return select.functions(cursor)


@pytest.fixture
def database(opened: Store) -> Path:
    [row] = opened.database.read("SELECT path FROM duckdb_databases() WHERE path IS NOT NULL")
    return Path(row["path"])


def is_locked(database: Path) -> bool:
    """Whether another process is kept from opening the database."""
    code = "import duckdb, sys; duckdb.connect(sys.argv[1], read_only=True)"
    tried = subprocess.run(
        [sys.executable, "-c", code, database], capture_output=True, text=True, check=False
    )
    return "Could not set lock" in tried.stderr


def test_a_second_process_can_tell_whether_the_lock_is_held(database: Path, tmp_path: Path) -> None:
    duckdb.connect(tmp_path / "free.duckdb").close()
    assert is_locked(database)
    assert not is_locked(tmp_path / "free.duckdb")


def test_attacks_are_refused_and_leave_database_and_lock_as_they_were(
    cursor: duckdb.DuckDBPyConnection, known: frozenset[str], database: Path
) -> None:
    attacks = [
        *STATEMENTS,
        *(f"SELECT * FROM {source}" for source in SOURCES),
        *(f"SELECT {expression} FROM images" for expression in EXPRESSIONS),
        *(f"WITH a AS (SELECT * FROM {source}) FROM a" for source in SOURCES),
        *(f"FROM images ORDER BY {expression}" for expression in EXPRESSIONS),
    ]
    before = database.stat()
    let_through = []
    for attack in attacks:
        query = attack.replace("{database}", str(database)).replace("{folder}", "/tmp")
        with contextlib.suppress(InvalidRequest):
            select.check(cursor, query, known)
            let_through.append(attack)
    assert let_through == []
    assert len(attacks) > 200
    after = database.stat()
    assert (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    assert is_locked(database)


@pytest.mark.parametrize("query", ALLOWED)
def test_a_select_over_the_views_is_let_through(
    query: str, cursor: duckdb.DuckDBPyConnection, known: frozenset[str]
) -> None:
    select.check(cursor, query, known)
    if "$" not in query and "?" not in query:
        cursor.execute(query).arrow().read_all()


@pytest.mark.parametrize("query", GROWING)
def test_a_select_that_makes_too_much_of_a_column_is_refused(
    query: str, cursor: duckdb.DuckDBPyConnection, known: frozenset[str]
) -> None:
    with pytest.raises(
        InvalidRequest, match=r"makes here can be [\d,]+ times as large as a column"
    ):
        select.check(cursor, query, known)
    cursor.execute(f"EXPLAIN {query}")  # Nothing else is wrong with it.


def test_texts_that_are_replaced_in_turn_multiply_only_where_they_can_meet() -> None:
    assert growth.replaced([("a", "bbb"), ("c", "dddd")]) == 4
    assert growth.replaced([("a", "bbb"), ("b", "dddd")]) == 12
    assert growth.replaced([("a", "bc"), ("x", "yyy"), ("cy", "zzzz")]) == 6
    assert growth.replaced([("abc", "d"), ("", "")]) == 1


def test_a_query_that_is_too_complicated_to_be_estimated_is_refused(
    cursor: duckdb.DuckDBPyConnection, known: frozenset[str]
) -> None:
    deep = "list_transform([1], lambda x: " * 25 + "1" + ")" * 25
    with pytest.raises(InvalidRequest, match="too complicated to tell how much it makes"):
        select.check(cursor, f"SELECT {deep}", known)


def test_a_query_that_is_too_long_is_refused(
    cursor: duckdb.DuckDBPyConnection, known: frozenset[str]
) -> None:
    select.check(cursor, "SELECT 1".ljust(MAX_SQL_CHARS), known)
    with pytest.raises(InvalidRequest, match="longer than"):
        select.check(cursor, "SELECT 1".ljust(MAX_SQL_CHARS + 1), known)


NESTS = [
    pytest.param("1+", "1", "", 198, id="sum"),
    pytest.param("'a'||", "'a'", "", 198, id="text"),
    pytest.param("NOT ", "true", "", 198, id="not"),
    pytest.param("lower(", "'A'", ")", 198, id="function"),
    pytest.param("CASE WHEN true THEN ", "1", " END", 198, id="case"),
    pytest.param("[", "1", "]", 198, id="list"),
    pytest.param("(SELECT ", "1", ")", 7, id="subquery"),
    pytest.param("EXISTS (FROM images WHERE ", "true", ")", 7, id="exists"),
    pytest.param("1 FROM (SELECT ", "1", ")", 198, id="source"),
    pytest.param("(SELECT max(seed) FROM images WHERE seed = ", "1", ")", 6, id="correlated"),
]
"""What nests something, what stands in the middle, what closes it, and how many are allowed."""


@pytest.mark.parametrize(("opening", "middle", "closing", "allowed"), NESTS)
def test_a_query_that_is_too_deep_is_refused_as_such(
    opening: str,
    middle: str,
    closing: str,
    allowed: int,
    cursor: duckdb.DuckDBPyConnection,
    known: frozenset[str],
) -> None:
    def nested(levels: int) -> str:
        return "SELECT " + opening * levels + middle + closing * levels

    select.check(cursor, nested(allowed), known)
    began = time.process_time()
    cursor.execute(nested(allowed)).fetchall()
    assert time.process_time() - began < 20
    longest = (MAX_SQL_CHARS - 50) // len(opening + closing)
    for levels in (allowed + 3, 300, 450, 600, 990):
        with pytest.raises(InvalidRequest, match="nested too deeply"):
            select.check(cursor, nested(min(levels, longest)), known)


def test_of_every_function_it_is_known_how_its_result_grows(known: frozenset[str]) -> None:
    """After an upgrade: look at what is new, refuse what does more than compute, and put it into
    `growth`, or among those of which the result is as large as the arguments together."""
    assert duckdb.__version__ == "1.5.5"
    named = {*growth.GROWTH, *estimate.LAMBDAS} - {"icu_collate"}
    collating = {name for name in known if name.startswith("icu_collate_")}
    adding = (Path(__file__).parent / "adding_functions.txt").read_text().split()
    assert named | collating | {*adding} == known
    assert not {*adding} & (named | collating)


def test_what_a_list_is_quoted_by_counts_once() -> None:
    text = growth.Value(1.0)
    listed = growth.called("list_value", [{}], [text])
    assert growth.called("list_append", [{}, {}], [listed, text]) == (2, growth.Form.NESTED)
    assert growth.called("to_json", [{}], [listed]) == (2, growth.Form.QUOTED)
    inner = growth.called("json_array", [{}], [text])
    assert growth.called("json_array", [{}], [inner]) == inner == (2, growth.Form.QUOTED)
    lowered = growth.called("lower", [{}], [inner])
    assert growth.called("to_json", [{}], [lowered]) == (4, growth.Form.QUOTED)


def test_a_template_makes_what_it_names() -> None:
    for name, template, size in [
        ("format", "{} <- {}", 6.08),
        ("format", "{0}{0}{{}}", 4.10),
        ("format", "{1:>12}", 4.19),
        ("printf", "%s%% %s", 6.07),
        ("printf", "%2$s%2$s", 8.12),
    ]:
        values = [growth.Value(len(template) / 100), growth.Value(2.0), growth.Value(4.0)]
        constant = {"class": "CONSTANT", "value": {"value": template}}
        assert growth.called(name, [constant, {}, {}], values).size == pytest.approx(size, abs=0.1)


def test_a_row_is_as_large_as_its_view_has_columns(
    cursor: duckdb.DuckDBPyConnection, known: frozenset[str]
) -> None:
    query = "SELECT bin(bin(bin(r::VARCHAR))) FROM {} AS r"
    for view, said in (("images", f"{25 * 2 * 64:,} times"), ("image_tags", f"{6 * 2 * 512:,} ")):
        with pytest.raises(InvalidRequest, match=said):
            select.check(cursor, query.format(view), known)


def test_who_makes_too_much_is_told_how_to_make_less(
    cursor: duckdb.DuckDBPyConnection, known: frozenset[str]
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        select.check(cursor, GROWING[0], known)
    assert "string_agg" in (refused.value.hint or "")


def test_the_reason_of_a_refusal_is_told(
    cursor: duckdb.DuckDBPyConnection, known: frozenset[str]
) -> None:
    for call, said in {
        "format(prompt)": "The first argument of format has to be text in the query itself",
        "FORMAT('{:1000}', 1)": "in the template of format has to be less than 1,000",
        "replace(prompt, 'a', id)": "The third argument of replace has to be text in the query",
        "list_aggr([1], 'reservoir_quantile')": "function reservoir_quantile is not allowed",
    }.items():
        with pytest.raises(InvalidRequest, match=said):
            select.check(cursor, f"SELECT {call} FROM images", known)


def test_a_list_of_functions_names_only_what_there_is(
    cursor: duckdb.DuckDBPyConnection, known: frozenset[str]
) -> None:
    named = {
        row[0] for row in cursor.execute("SELECT function_name FROM duckdb_functions()").fetchall()
    }
    unknown_here = {"getenv"}  # of DuckDB's own shell
    assert select.REFUSED_FUNCTIONS - named == unknown_here
    assert named >= growth.TEMPLATES | growth.REPLACING | growth.AGGREGATING
    assert known >= select.VOLATILE_FUNCTIONS
    assert named >= select.TABLE_FUNCTIONS


TABLES = st.sampled_from(["images", "IMAGES", "jobs", "a", "b", "duckdb_views", "hidden"])


def queries_over(tables: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """SELECTs that nest CTEs, subqueries and joins, with names that shadow one another."""

    def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        aliases = (f"t{number}" for number in itertools.count())
        return st.one_of(
            st.builds("(SELECT 1 AS x FROM {}) AS {}".format, inner, st.just(next(aliases))),
            st.builds("(WITH {} AS (SELECT 1 AS x FROM {}) SELECT 1 AS x FROM {}) AS c".format,
                      tables, inner, inner),
            st.builds("(WITH a AS (SELECT 1 AS x FROM {}), b AS (SELECT 1 AS x FROM {}) "
                      "SELECT 1 AS x FROM {}) AS c".format, inner, inner, inner),
            st.builds("(SELECT 1 AS x WHERE EXISTS (SELECT 1 FROM {})) AS s".format, inner),
            st.builds("(SELECT (SELECT max(1) FROM {}) AS x UNION SELECT 1 FROM {}) AS u".format,
                      inner, inner),
        )  # fmt: skip

    return st.recursive(tables, grown, max_leaves=8).map("SELECT 1 FROM {}".format)


def strays(cursor: duckdb.DuckDBPyConnection, query: str) -> set[str]:
    """The tables that a query reaches for past the views, whose own tables are qualified."""
    reached = cursor.get_table_names(query, qualified=True)
    return {name for name in reached if not name.startswith("mysticanvas.main.")}


@settings(max_examples=150, deadline=None)
@given(query=queries_over(TABLES))
def test_what_is_let_through_reads_the_views_alone(
    query: str, cursor: duckdb.DuckDBPyConnection, known: frozenset[str]
) -> None:
    """DuckDB's own binder is the judge: it tells which tables a query reaches for.

    It is silent about the views of its own catalog, which are to be seen in the plan.
    """
    try:
        select.check(cursor, query, known)
    except InvalidRequest:
        return
    assert not strays(cursor, query)
    plan = cursor.execute(f"EXPLAIN {query}").fetchall()[0][1]
    assert "DUCKDB_VIEWS" not in plan


WORDS = st.sampled_from(
    [
        *(word for query in ALLOWED for word in query.split()),
        *("PRAGMA", "SET", "COPY", "TO", "CALL", "CREATE", "DROP", "ATTACH", "EXPLAIN", ";"),
        *("read_blob", "query", "getenv", "duckdb_settings", "(", ")", "--", "/*", '"', "'", "\0"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(query=st.one_of(st.lists(WORDS, max_size=15).map(" ".join), st.text(max_size=60)))
def test_any_text_is_let_through_or_refused(
    query: str, cursor: duckdb.DuckDBPyConnection, known: frozenset[str]
) -> None:
    try:
        select.check(cursor, query, known)
    except InvalidRequest:
        return
    [statement] = cursor.extract_statements(query)
    assert statement.type == duckdb.StatementType.SELECT
    with contextlib.suppress(duckdb.Error):
        assert not strays(cursor, query)
