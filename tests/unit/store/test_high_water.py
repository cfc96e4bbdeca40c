"""The mark never runs ahead of the database, and says what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mysticanvas.store import high_water
from mysticanvas.store.high_water import HighWater, Mark

FULL = Mark(schema_version=2, images=10, images_seq=12, jobs_seq=5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.high-water"


def test_the_mark_comes_back(path: Path) -> None:
    HighWater(path, lambda: FULL, lambda: True).update()
    assert high_water.read(path) == FULL
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_no_file_is_no_mark(path: Path) -> None:
    assert high_water.read(path) is None


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"images": "many"}', '{"images": null}'])
def test_an_unreadable_file_is_no_mark(path: Path, text: str) -> None:
    path.write_text(text)
    assert high_water.read(path) is None


def test_members_of_other_versions_do_not_matter(path: Path) -> None:
    path.write_text(json.dumps({"images": 3, "tags": 9}))
    assert high_water.read(path) == Mark(images=3)


@pytest.mark.parametrize("name", Mark._fields)
def test_what_is_missing_is_named(name: str) -> None:
    less = FULL._replace(**{name: 1})
    [missing] = FULL.missing_from(less)
    assert missing == f"{name} is 1, was {getattr(FULL, name)}"


def test_more_than_the_mark_is_fine() -> None:
    assert Mark().missing_from(FULL) == []
    assert FULL.missing_from(FULL) == []


def test_a_mark_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    HighWater(tmp_path / "no folder" / "mark", lambda: FULL, lambda: True).update()
    assert list(tmp_path.iterdir()) == []
