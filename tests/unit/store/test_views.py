"""The documented views: complete, described, and without what was deleted."""

from __future__ import annotations

from typing import Any

import pytest

from mysticanvas.contracts import ids
from mysticanvas.store import Store, views


@pytest.mark.parametrize("view", views.VIEWS, ids=lambda view: str(view.name))
def test_every_view_and_column_says_what_it_is(store: Store, view: views.View) -> None:
    with store.database.cursor() as cursor:
        views.create(cursor)
        described = [column for column in views.describe(cursor) if column.view == view.name]
    assert [column.description for column in described] == view.columns
    assert [column.column for column in described] == view.names
    assert all(text.endswith(".") for text in [view.description, *view.columns])


def test_they_are_those_that_are_documented() -> None:
    assert {
        "images",
        "image_tags",
        "tags",
        "tag_aliases",
        "files",
        "jobs",
        "presets",
    } == views.NAMES


def test_nobody_else_meets_them(store: Store) -> None:
    with store.database.cursor() as cursor:
        views.create(cursor)
        [row] = store.database.read(
            "SELECT count(*) AS views FROM duckdb_views() WHERE NOT internal"
        )
    assert row["views"] == 0


def test_what_is_deleted_or_internal_is_not_there(store: Store, maker: Any) -> None:
    kept, deleted = (maker.image(ids.new_id()) for _ in range(2))
    store.images.add([kept, deleted])
    asked, upkeep = (maker.added(store).record.id for _ in range(2))
    with store.database.write() as transaction:
        transaction.run("UPDATE images SET deleted_at = now() WHERE id = $id", id=deleted.id)
        transaction.run("UPDATE jobs SET internal = true WHERE id = $id", id=upkeep)
        transaction.run("INSERT INTO tags VALUES (1, 'Noir', 'noir', now())")
        transaction.run(
            "INSERT INTO image_tags SELECT seq, 1, 'user', NULL, NULL, created_at FROM images"
        )
    with store.database.cursor() as cursor:
        views.create(cursor)

        def column(sql: str) -> list[Any]:
            return [str(row[0]) for row in cursor.execute(sql).fetchall()]

        assert column("SELECT id FROM images") == [kept.id]
        assert column("SELECT path FROM images") == [kept.file.path]
        assert column("SELECT image FROM image_tags") == [kept.id]
        assert column("SELECT image FROM files") == [kept.id]
        assert column("SELECT id FROM jobs") == [asked]
