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

BLANKS = {
    **dict.fromkeys(("where", "condition", "images", "files"), "TRUE"),
    "order": "DESC",
    "limit": "1",
    "count": "1",
    "column": "id",
    "ids": "NULL",
}


def test_there_is_a_file_for_every_noun() -> None:
    assert NOUNS == (
        [
            "backups",
            "export",
            "facts",
            "files",
            "images",
            "jobs",
            "measurements",
            "model_files",
            "opening",
            "parquet",
            "presets",
            "profiles",
            "search",
            "select",
            "tags",
            "views",
        ]
    )


# Made of parts that other queries take in, and about files that must be there.
COMPOSED = {"search", "export", "parquet"}


@pytest.mark.parametrize("noun", [noun for noun in NOUNS if noun not in COMPOSED])
def test_every_query_is_one_valid_statement(store: Store, noun: str) -> None:
    loaded = queries.load(noun)
    assert loaded
    for name, sql in loaded.items():
        for blank, filled in BLANKS.items():
            sql = sql.replace(f"{{{blank}}}", filled)
        [statement] = duckdb.extract_statements(sql)
        unknown = dict.fromkeys(statement.named_parameters)
        plan = store.database.read(f"EXPLAIN {sql}", **unknown)
        assert plan, name
