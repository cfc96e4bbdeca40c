"""What `canvas.sql` lets through: one SELECT over the views, and nothing that does more."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings, strategies as st

from mysticanvas.errors import InvalidRequest
from mysticanvas.settings import MAX_SQL_CHARS, HomePaths
from mysticanvas.store import Store, select, views

STATEMENTS = [
    "INSERT INTO images VALUES (1)",
    "UPDATE images SET prompt = ''",
    "DELETE FROM images",
    "TRUNCATE images",
    "MERGE INTO images USING jobs ON true WHEN MATCHED THEN DELETE",
    "CREATE TABLE x AS SELECT 1",
    "CREATE TEMP TABLE x (a INTEGER)",
    "CREATE OR REPLACE TEMP VIEW images AS SELECT 1 AS id",
    "CREATE MACRO f(a) AS a",
    "CREATE SEQUENCE s",
    "CREATE SCHEMA s",
    "CREATE INDEX i ON images (seq)",
    "CREATE TYPE t AS ENUM ('a')",
    "CREATE SECRET s (TYPE s3)",
    "ALTER TABLE images ADD COLUMN x INTEGER",
    "DROP VIEW images",
    "DROP TABLE mysticanvas.main.images",
    "COMMENT ON TABLE images IS 'x'",
    "COPY images TO 'x.csv'",
    "COPY (SELECT 1) TO 'x.parquet'",
    "COPY images FROM 'x.csv'",
    "COPY FROM DATABASE mysticanvas TO memory",
    "EXPORT DATABASE 'x'",
    "IMPORT DATABASE 'x'",
    "ATTACH 'x.duckdb'",
    "ATTACH ':memory:' AS other",
    "DETACH mysticanvas",
    "USE mysticanvas",
    "SET memory_limit = '1GB'",
    "SET search_path = 'mysticanvas'",
    "SET VARIABLE x = 1",
    "RESET memory_limit",
    "PRAGMA database_list",
    "PRAGMA show_tables",
    "PRAGMA database_size",
    "PRAGMA enable_profiling",
    "PRAGMA memory_limit = '1GB'",
    "PRAGMA storage_info('images')",
    "CALL pragma_version()",
    "CALL force_checkpoint()",
    "CHECKPOINT",
    "FORCE CHECKPOINT mysticanvas",
    "VACUUM",
    "ANALYZE",
    "INSTALL httpfs",
    "LOAD fts",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE DELETE FROM images",
    "SHOW TABLES",
    "SHOW ALL TABLES",
    "SHOW DATABASES",
    "DESCRIBE",
    "",
    " ;; -- nothing",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW images",
    "PIVOT images ON source USING count(*)",
    "WITH x AS (DELETE FROM images RETURNING *) FROM x",
    "SELECT 1 INTO t",
]
SOURCES = [
    "read_blob('{database}')",
    "read_text('{database}')",
    "read_csv('{database}')",
    "read_csv_auto('{database}')",
    "read_json('{database}')",
    "read_json_objects('{database}')",
    "read_ndjson('{database}')",
    "read_parquet('{database}')",
    "parquet_scan('{database}')",
    "parquet_metadata('{database}')",
    "parquet_file_metadata('{database}')",
    "parquet_schema('{database}')",
    "read_duckdb('{database}')",
    "sniff_csv('{database}')",
    "glob('/*')",
    "'{database}'",
    '"{database}"',
    "'{folder}/backups/x.parquet'",
    "query('SELECT 1')",
    "query_table('images')",
    "json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "duckdb_secrets()",
    "duckdb_settings()",
    "duckdb_tables()",
    "duckdb_tables",
    "duckdb_logs()",
    "duckdb_temporary_files()",
    "pragma_table_info('images')",
    "pragma_storage_info('mysticanvas.main.images')",
    "pragma_database_size()",
    "pragma_database_list",
    "sqlite_master",
    "information_schema.tables",
    "pg_catalog.pg_class",
    "mysticanvas.main.images",
    "mysticanvas.images",
    "temp.images",
    "main.images",
    "schema_version",
    "generation_files",
    "model_files",
    "seq_scan('images')",
    "arrow_scan(1, 2, 3)",
    "pandas_scan(1)",
    "python_map_function()",
    "checkpoint('mysticanvas')",
    "force_checkpoint()",
    "enable_logging()",
    "enable_profiling()",
    "truncate_duckdb_logs()",
    "test_all_types()",
    "which_secret('x', 's3')",
    "other.range(3)",
    "(WITH images AS (FROM jobs) FROM duckdb_tables)",
    "(WITH duckdb_tables AS (FROM duckdb_tables) FROM duckdb_tables)",
    "images, duckdb_tables WHERE EXISTS (WITH duckdb_tables AS (SELECT 1) FROM duckdb_tables)",
    "(WITH a AS (FROM b), b AS (SELECT 1) FROM a)",
    # To Python, the Kelvin sign is a capital K.
    "(WITH duc\N{KELVIN SIGN}db_tables AS (SELECT 1) FROM duckdb_tables)",
    "(DESCRIBE duckdb_tables)",
    "(SUMMARIZE '{database}')",
    "(SHOW TABLES)",
    "images SEMI JOIN duckdb_tables ON true",
    "images UNION ALL FROM duckdb_tables",
    "range((SELECT count(*) FROM duckdb_tables))",
    "(PIVOT duckdb_tables ON internal IN (true) USING count(*))",
    "(UNPIVOT duckdb_tables ON internal)",
    "(VALUES ((SELECT count(*) FROM duckdb_tables)))",
]
EXPRESSIONS = [
    "getenv('HOME')",
    "current_setting('memory_limit')",
    "getvariable('x')",
    "nextval('s')",
    "currval('s')",
    "setseed(0.5)",
    "sleep_ms(100)",
    "write_log('x')",
    "json_serialize_plan('FROM read_blob(''x'')')",
    "json_serialize_sql('SELECT 1')",
    "current_query()",
    "repeat('x', 3000000000)",
    "lpad('x', 2000000000, 'y')",
    "range(1000000000)",
    "list_resize([1], 1000000000)",
    "pg_catalog.pg_sleep(1)",
    "pg_sleep(1)",
    "pg_get_viewdef(1)",
    "mysticanvas.main.upper('x')",
    "fts_main_images.match_bm25(1, 'x')",
    "__internal_decompress_string(1)",
    "no_such_function(1)",
    "[current_setting(x) FOR x IN ['memory_limit']]",
    "(SELECT content FROM read_blob('x'))",
    "upper((SELECT max(sql) FROM duckdb_tables))",
    "'memory_limit'.current_setting()",
    "sum(nextval('s')) OVER (ORDER BY getenv('x'))",
    "CASE WHEN true THEN getenv('x') END",
    "count(*) FILTER (WHERE getenv('x') = '')",
    "list_transform(['x'], lambda x: getenv(x))",
]
ALLOWED = [
    "SELECT 1",
    "select 1;",
    "/* a comment */ SELECT 1 -- another",
    "FROM images",
    'FROM "IMAGES"',
    "TABLE images",
    "VALUES (1), (2)",
    "FROM (VALUES (1, 2)) AS t (a, b)",
    "DESCRIBE images",
    "SUMMARIZE images",
    "DESCRIBE SELECT 1 AS a",
    "SELECT * EXCLUDE (recipe) REPLACE (upper(prompt) AS prompt) FROM images",
    "SELECT COLUMNS('.*sha256') FROM images",
    "SELECT recipe->>'$.params.prompt', recipe->'params' FROM images",
    "SELECT date_trunc('day', created_at) AS day, count(*) FROM images GROUP BY ALL ORDER BY ALL",
    "SELECT count(*) FILTER (starred), avg(rating) FROM images WHERE prompt ILIKE '%a%'",
    "SELECT preset, count(*) FROM images GROUP BY CUBE (preset) HAVING count(*) > 1",
    "SELECT row_number() OVER (PARTITION BY project ORDER BY seq), lag(seq) OVER w FROM images "
    "WINDOW w AS (ORDER BY seq) QUALIFY row_number() OVER w = 1",
    "SELECT DISTINCT ON (preset) preset, prompt FROM images ORDER BY preset, seq DESC LIMIT 5",
    "SELECT i.id FROM images AS i JOIN image_tags AS t ON t.image = i.id WHERE t.tag = 'noir'",
    "FROM images SEMI JOIN image_tags ON image_tags.image = images.id",
    "FROM images ANTI JOIN files ON files.image = images.id",
    "SELECT * FROM jobs, LATERAL (SELECT count(*) FROM images WHERE images.job = jobs.id)",
    "WITH a AS (SELECT 1 AS x), b AS (FROM a) FROM b",
    "WITH duckdb_tables AS (SELECT 1) FROM duckdb_tables",
    "WITH RECURSIVE t AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM t WHERE a < 5) FROM t",
    "WITH RECURSIVE up AS (SELECT id, parent FROM images UNION ALL "
    "SELECT i.id, i.parent FROM images AS i JOIN up ON i.id = up.parent) FROM up",
    "FROM images UNION BY NAME FROM images",
    "SELECT id FROM images EXCEPT SELECT image FROM image_tags",
    "PIVOT images ON source IN ('generate', 'import') USING count(*) GROUP BY project",
    "UNPIVOT (SELECT 1 AS a, 2 AS b) ON a, b",
    "FROM range(3) AS t (i), unnest([1, 2]) AS u (x), generate_series(1, 2)",
    "FROM json_each('{\"a\": 1}')",
    "SELECT unnest([1, 2]), [x + 1 FOR x IN [1, 2]], {'a': 1}.a, 'abc'[1:2], MAP {'a': 1}",
    "SELECT 1 + 2 * 3 // 4 ** 5 % 6, -1, NOT true, 1 BETWEEN 0 AND 2, 1 IN (1, 2), 'a' || 'b'",
    "SELECT 'a' LIKE 'b', 'a' SIMILAR TO 'b', 'a' GLOB 'b', x'00'::BLOB, INTERVAL 1 DAY",
    "SELECT CASE WHEN true THEN 1 END, coalesce(1, 2), nullif(1, 2), TRY_CAST('x' AS INT), try(1)",
    "SELECT now(), current_date, random(), uuid(), extract(year FROM now())",
    "SELECT arg_max(prompt, seq), quantile_cont(seq, 0.5), string_agg(prompt, ',') FROM images",
    "SELECT (SELECT max(seq) FROM images), EXISTS (FROM tags)",
    "FROM images USING SAMPLE 5",
    "SELECT $1, $2",
    "SELECT $name",
    "SELECT ?",
    "FROM tag_aliases, presets",
]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(HomePaths.of(tmp_path_factory.mktemp("select") / "home")) as store:
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


def test_a_query_that_is_too_long_is_refused(
    cursor: duckdb.DuckDBPyConnection, known: frozenset[str]
) -> None:
    select.check(cursor, "SELECT 1".ljust(MAX_SQL_CHARS), known)
    with pytest.raises(InvalidRequest, match="longer than"):
        select.check(cursor, "SELECT 1".ljust(MAX_SQL_CHARS + 1), known)


@pytest.mark.parametrize("part", ["(", "[", "NOT ", "- ", "CASE WHEN true THEN ", "(SELECT "])
def test_a_query_that_is_too_deep_is_refused(
    part: str, cursor: duckdb.DuckDBPyConnection, known: frozenset[str]
) -> None:
    query = "SELECT " + part * (MAX_SQL_CHARS // len(part) - 5)
    with pytest.raises(InvalidRequest):
        select.check(cursor, query, known)


def test_the_functions_were_reviewed_for_this_release_of_duckdb(known: frozenset[str]) -> None:
    """After an upgrade: look at what is new, refuse what does more than compute, and pin it."""
    digest = hashlib.sha256("\n".join(sorted(known)).encode()).hexdigest()
    assert (duckdb.__version__, digest[:16]) == ("1.5.5", "04c95351190d9b52")


def test_a_list_of_functions_names_only_what_there_is(
    cursor: duckdb.DuckDBPyConnection, known: frozenset[str]
) -> None:
    named = {
        row[0] for row in cursor.execute("SELECT function_name FROM duckdb_functions()").fetchall()
    }
    unknown_here = {"getenv"}  # of DuckDB's own shell
    assert select.REFUSED_FUNCTIONS - named == unknown_here
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
