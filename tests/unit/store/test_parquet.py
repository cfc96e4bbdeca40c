"""Tables of any size, and rows of any width, leave the store within its memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from mysticanvas.home import HomePaths
from mysticanvas.store import Store, inspection, parquet
from mysticanvas.store.export import Snapshot

MEMORY_MIB, IMAGES = 64, 9_000
_WIDE = """
INSERT INTO images BY NAME
SELECT
    uuid() AS id, n AS seq, uuid() AS job_id, 0 AS batch_index, 1 AS batch_size,
    'default' AS project, 'generate' AS source, text AS prompt, '' AS negative_prompt,
    'tiny' AS preset, '' AS model_digest, '' AS pipeline, n AS seed, 8 AS width, 8 AS height,
    'RGB' AS mode, 4 AS num_inference_steps, 1.0 AS guidance_scale, '' AS scheduler,
    '' AS request_hash, '' AS recipe_hash, '' AS pixels_sha256,
    json_object('prompt', text) AS recipe, false AS starred, now()::TIMESTAMP AS created_at,
    n::VARCHAR AS path
FROM (
    SELECT n, repeat(md5(n::VARCHAR), 100) AS text FROM range(1, $images + 1) AS t(n)
)
"""
_FILES = """
INSERT INTO generation_files
SELECT seq, id, 'original', 0, path, '', 1, width, height, created_at FROM images
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> HomePaths:
    """A home whose rows are several times what the store of a test may have in memory."""
    paths = HomePaths.of(tmp_path_factory.mktemp("large"))
    with Store.open(paths) as opened, opened.database.write() as transaction:
        transaction.run(_WIDE, images=IMAGES)
        transaction.run(_FILES)
    return paths


@pytest.fixture
def small(large: HomePaths) -> Iterator[Store]:
    with Store.open(large, memory_limit_mib=MEMORY_MIB) as opened:
        yield opened


def test_a_backup_is_made_of_more_than_fits_into_the_memory(small: Store, tmp_path: Path) -> None:
    assert small.backups.save(tmp_path / "b.duckdb").images == IMAGES
    assert inspection.examine(tmp_path / "b.duckdb").images == IMAGES
    query = "SELECT seq, md5(prompt || recipe::VARCHAR) FROM images"
    ours = [tuple(row.values()) for row in small.database.read(query)]
    with duckdb.connect(str(tmp_path / "b.duckdb"), read_only=True) as copy:
        assert copy.execute(query).fetchall() == ours


def test_an_export_is_made_of_more_than_fits_into_the_memory(
    small: Store, large: HomePaths
) -> None:
    folder = large.backups / "export"
    folder.mkdir()
    snapshot = Snapshot(small.database, folder)
    snapshot.write(None, None)
    assert snapshot.images == IMAGES
    assert [int(picture.path or "") for picture in snapshot.pictures()] == [*range(1, IMAGES + 1)]


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([], []),
        ([(0, 1)], [(0, 1)]),
        ([(0, 1), (1, 1), (2, 1)], [(0, 3)]),
        # Rows that are gone leave numbers without rows.
        ([(3, 1), (7, 1)], [(3, 8)]),
        ([(0, 2), (1, 2), (2, 2), (3, 2)], [(0, 2), (2, 4)]),
        ([(0, 9), (1, 9)], [(0, 1), (1, 2)]),
        ([(0, 1), (1, 9), (5, 1), (6, 3)], [(0, 1), (1, 2), (5, 7)]),
    ],
)
def test_a_file_has_rows_up_to_so_many_bytes(
    blocks: list[tuple[int, int]],
    expected: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parquet, "MOST_BYTES", 4)
    rows = [(first * parquet.BLOCK, end * parquet.BLOCK) for first, end in expected]
    assert list(parquet.ranges(blocks)) == rows
