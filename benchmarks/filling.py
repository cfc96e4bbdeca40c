"""A made-up collection into a new store, in minutes for a million pictures.

The rows go straight into the migrated tables, a hundred times faster than by the store's own calls,
which check a recipe and hash it for each. The store then has to take them for its own: it opens
them, counts them, reads them back and indexes them.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from benchmarks import collection, memory
from benchmarks.collection import Entry
from benchmarks.figure import Absent
from mysticanvas.home import HomePaths
from mysticanvas.store import Store, times
from mysticanvas.store.connection import CATALOG, STORAGE

_BATCH = 20_000
Rows = list[dict[str, Any]]


def fill(home: Path, images: int) -> None:
    """Make the store of a home, with a collection of that many pictures and their index.

    Raises:
        RuntimeError: the store does not hold what was put into it.
    """
    paths = HomePaths.of(home)
    Store.open(paths).close()
    _insert(paths.database, images)
    with Store.open(paths, memory_limit_mib=2048) as store:
        _check(store, images)
        try:
            memory.index(store)
        except Absent as missing:
            print(f"without an index: {missing}", file=sys.stderr)


def _insert(database: Path, images: int) -> None:
    path = str(database).replace("'", "''")
    ids = {name: number for number, name in enumerate(collection.TAGS.names, 1)}
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS {CATALOG} ({STORAGE})")
        connection.execute(f"USE {CATALOG}")
        _append(connection, "tags", [_tag_row(name, number) for name, number in ids.items()])
        for batch in collection.batches(collection.entries(images), _BATCH):
            _append(connection, "images", [_image_row(entry) for entry in batch])
            _append(connection, "generation_files", [_file_row(entry) for entry in batch])
            tagged = [row for entry in batch for row in _tagged_rows(entry, ids)]
            _append(connection, "image_tags", tagged)
        connection.execute(f"CHECKPOINT {CATALOG}")


def _append(connection: duckdb.DuckDBPyConnection, table: str, rows: Rows) -> None:
    connection.register("added", pa.Table.from_pylist(rows))
    connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM added")
    connection.unregister("added")


def _image_row(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "seq": entry.seq,
        "job_id": entry.job_id,
        "batch_index": 0,
        "batch_size": 1,
        "project": entry.project,
        "source": "generate",
        "prompt": entry.prompt,
        "negative_prompt": entry.negative_prompt,
        "style": entry.style,
        "preset": entry.preset,
        "model_digest": entry.model_digest,
        "pipeline": collection.PIPELINE,
        "seed": entry.seed,
        "width": entry.width,
        "height": entry.height,
        "mode": "RGB",
        "num_inference_steps": collection.STEPS,
        "guidance_scale": collection.GUIDANCE,
        "scheduler": collection.SCHEDULER,
        "request_hash": entry.sha256,
        "recipe_hash": entry.sha256,
        "pixels_sha256": entry.sha256,
        "recipe": entry.recipe,
        "starred": entry.starred,
        "rating": entry.rating,
        "created_at": _utc(entry),
        "path": entry.path,
    }


def _file_row(entry: Entry) -> dict[str, Any]:
    return {
        "image_seq": entry.seq,
        "image_id": entry.id,
        "kind": "original",
        "position": 0,
        "path": entry.path,
        "sha256": entry.sha256,
        "bytes": entry.bytes,
        "width": entry.width,
        "height": entry.height,
        "created_at": _utc(entry),
    }


def _tag_row(name: str, number: int) -> dict[str, Any]:
    made = times.to_db(collection.BEGAN)
    return {"id": number, "name": name, "normalized_name": name, "created_at": made}


def _tagged_rows(entry: Entry, ids: dict[str, int]) -> Rows:
    return [
        {
            "image_seq": entry.seq,
            "tag_id": ids[name],
            "source": "user",
            "created_at": _utc(entry),
        }
        for name in entry.tags
    ]


def _utc(entry: Entry) -> datetime:
    return times.to_db(entry.created_at)


def _check(store: Store, images: int) -> None:
    """Look whether the store takes the rows for its own: it counts and reads them."""
    if (counted := memory.count(store)) != images:
        raise RuntimeError(f"The store counts {counted} of {images} pictures.")
    for listed in memory.page(store).items:
        image = store.images.get(listed.id)
        made = (image.recipe.params.prompt, image.recipe.seed, image.recipe.preset)
        if made != (image.prompt, image.seed, image.preset):
            raise RuntimeError(f"Picture {image.seq} is not what its recipe says.")


if __name__ == "__main__":
    fill(Path(sys.argv[1]), int(sys.argv[2]))
