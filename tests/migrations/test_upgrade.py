"""The stored database of every released schema version comes to the newest with every row,
however often it is killed on the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from migrations import stored
from migrations.stored import Rows

from mysticanvas.home import HomePaths
from mysticanvas.store import Store, migrate

NEWEST = len(migrate.available())
UNRELEASED = {2, 3, 4}
"""Versions that came to main together with the next one, so that no database stayed at them."""
KEYS = [
    ("jobs", "id"),
    ("jobs", "seq"),
    ("jobs", "idempotency_key"),
    ("images", "id"),
    ("images", "seq"),
    ("schema_version", "version"),
    ("model_files", "path"),
]


def upgraded(paths: HomePaths) -> Rows:
    Store.open(paths).close()
    return stored.rows(paths.database)


def assert_kept(before: Rows, after: Rows) -> None:
    """Every row is there, with every column that it had."""
    for table, rows in before.items():
        if table == "schema_version":
            assert after[table][: len(rows)] == rows
            continue
        columns = rows[0].keys() if rows else ()
        kept = [{name: row[name] for name in columns} for row in after[table]]
        assert sorted(map(repr, kept)) == sorted(map(repr, rows)), table


def test_every_released_version_but_the_newest_is_stored() -> None:
    """Whoever adds a migration stores the database of the version before: CONTRIBUTING.md."""
    released = [version for version in range(1, NEWEST) if version not in UNRELEASED]
    assert set(released) <= set(stored.versions())
    assert all(path.stat().st_size < 100_000 for path in stored.DATABASES.iterdir())


@pytest.mark.parametrize("version", stored.versions())
def test_a_stored_database_has_rows_of_everything(version: int, tmp_path: Path) -> None:
    rows = stored.rows(stored.unpack(version, tmp_path).database)
    assert {"jobs", "images", "generation_files", "presets", "model_files"} <= {
        table for table, found in rows.items() if found
    }
    statuses = {row["status"] for row in rows["jobs"]}
    assert statuses == {"queued", "running", "succeeded", "failed", "cancelled"}
    assert max(row["version"] for row in rows["schema_version"]) == version


@pytest.mark.parametrize("version", stored.versions())
def test_an_upgrade_keeps_every_row(version: int, tmp_path: Path) -> None:
    paths = stored.unpack(version, tmp_path)
    before = stored.rows(paths.database)
    after = upgraded(paths)
    assert_kept(before, after)
    assert [row["version"] for row in after["schema_version"]] == list(range(1, NEWEST + 1))
    assert upgraded(paths) == after
    for table, key in KEYS:
        scan, found = stored.scanned_and_found(paths.database, table, key)
        assert len(scan) == len(set(scan)) > 0
        assert found == scan


@pytest.mark.parametrize("version", stored.versions())
def test_an_upgraded_store_reads_and_works(version: int, tmp_path: Path) -> None:
    with Store.open(stored.unpack(version, tmp_path)) as store:
        assert len(store.images.page(1000).items) == 7
        for job in store.jobs.page().items:
            assert store.jobs.get(job.id).record == job
        claimed = store.jobs.claim()
        assert claimed is not None
        assert claimed.record.priority == "background"
        assert len(store.presets.list()) == 2


@pytest.mark.fault("SIGKILL at every statement of an upgrade", "no row is lost")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", stored.versions())
def test_a_kill_at_any_statement_of_an_upgrade_loses_nothing(version: int, tmp_path: Path) -> None:
    """A process is killed before each statement, around each CHECKPOINT and after the last."""
    paths = stored.unpack(version, tmp_path / "home")
    before = stored.rows(paths.database)
    script = Path(__file__).with_name("upgrade_and_die.py")
    command = [sys.executable, str(script), str(paths.root), str(tmp_path / "killed")]
    subprocess.run(command, check=True)
    expected = {name: [row.keys() for row in rows] for name, rows in upgraded(paths).items()}

    killed = sorted((tmp_path / "killed").iterdir())
    assert len(killed) > 5 * (NEWEST - version)
    for home in killed:
        after = upgraded(HomePaths.of(home))
        assert_kept(before, after)
        assert {name: [row.keys() for row in rows] for name, rows in after.items()} == expected
