"""Every query in the .sql files is one that the schema can answer."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

import mysticanvas.store
from mysticanvas.store import Store, queries

NOUNS = sorted(
    path.stem for path in (Path(mysticanvas.store.__file__).parent / "queries").glob("*.sql")
)


def test_there_is_a_file_for_every_noun() -> None:
    assert NOUNS == [
        "facts",
        "files",
        "images",
        "jobs",
        "model_files",
        "opening",
        "presets",
        "tags",
    ]


@pytest.mark.parametrize("noun", NOUNS)
def test_every_query_is_one_valid_statement(store: Store, noun: str) -> None:
    loaded = queries.load(noun)
    assert loaded
    for name, sql in loaded.items():
        sql = sql.format(picked="SELECT seq FROM images", where="TRUE") if "{" in sql else sql
        [statement] = duckdb.extract_statements(sql)
        unknown = dict.fromkeys(statement.named_parameters)
        plan = store.database.read(f"EXPLAIN {sql}", **unknown)
        assert plan, name
