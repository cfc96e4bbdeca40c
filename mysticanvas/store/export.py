"""The tables of an export as Parquet, and the pictures that they name.

DuckDB itself writes them: it streams in small row groups, within the memory of the store, and
keeps the types. It may write into one folder alone, `backups/`, so they are made there and moved by
the caller. They are a snapshot of one moment; what else an export holds is made from them, so that
the store is free meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mysticanvas.contracts.recipe import Recipe
from mysticanvas.store import parquet, parts, queries, views
from mysticanvas.store.connection import Database, rows

_SQL = queries.load("export")
_PAGE = 500


class Picture(NamedTuple):
    """A picture of an export; `path` is that of its file, below the home and in the export."""

    id: str
    path: str | None
    prompt: str
    width: int
    height: int
    recipe_json: str

    @property
    def recipe(self) -> Recipe:
        return Recipe.model_validate_json(self.recipe_json)


class Snapshot:
    """The Parquet files of an export.

    Args:
        folder: an empty folder inside `backups/`.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._pictures, self._image_tags, self._tags = (
            str(folder / f"{name}.parquet") for name in ("images", "image_tags", "tags")
        )
        self.images = 0
        self.bytes = 0
        """How many pictures there are, and the size of their files."""

    def write(self, project: str | None, ids: list[str] | None) -> None:
        """Write the files.

        Args:
            project: only its pictures; None for all.
            ids: only these pictures, by their whole ids; None for all.

        Raises:
            InvalidRequest: what is given for an id is none.
            StoreError: they cannot be written.
        """
        wanted = None if ids is None else [parts.whole_id("images", part) for part in ids]
        pictures = {"pictures": self._pictures}
        with self._database.cursor() as cursor:
            views.create(cursor)
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            chosen = {"project": project, "ids": wanted}
            tables: dict[str, dict[str, object]] = {
                "pictures": {"file": self._pictures, **chosen},
                "image_tags": {"file": self._image_tags, **pictures},
                "tags": {"file": self._tags, "image_tags": self._image_tags},
            }
            for table, parameters in tables.items():
                rows(cursor, _SQL[table].format(options=parquet.OPTIONS), parameters)
            [size] = rows(cursor, _SQL["size"], dict(pictures))
        self.images, self.bytes = size["images"], size["bytes"]

    def pictures(self) -> Iterator[Picture]:
        """The pictures in the order of recording."""
        after = -1
        ends = self._database.read(_SQL["pages"], pictures=self._pictures, page=_PAGE)
        for last in (row["last"] for row in ends):
            page = self._database.read(
                _SQL["page"], pictures=self._pictures, after=after, last=last
            )
            after = last
            for row in page:
                yield Picture(
                    row["id"],
                    row["path"],
                    row["prompt"],
                    row["width"],
                    row["height"],
                    row["recipe"],
                )
