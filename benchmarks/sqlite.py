"""The same collection in SQLite, kept as one would who knows it well: what ours is compared with.

Its rows come back as they are, with the columns of our cards; ours are checked objects.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import collection
from benchmarks.collection import Entry

Row = tuple[Any, ...]
PAGE = 50
_BATCH = 20_000
_CACHE_KIB = 256 * 1024
"""As much memory as our database may take."""

_TABLES = """
CREATE TABLE images (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, job_id TEXT NOT NULL, project TEXT NOT NULL,
    prompt TEXT NOT NULL, negative_prompt TEXT NOT NULL, style TEXT, preset TEXT NOT NULL,
    seed INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, recipe TEXT NOT NULL,
    starred INTEGER NOT NULL, rating INTEGER, created_at TEXT NOT NULL
);
CREATE TABLE files (
    image_seq INTEGER PRIMARY KEY, path TEXT NOT NULL, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL
);
CREATE TABLE tags (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE image_tags (
    tag_id INTEGER NOT NULL, image_seq INTEGER NOT NULL, PRIMARY KEY (tag_id, image_seq)
) WITHOUT ROWID;
CREATE INDEX tags_of ON image_tags (image_seq);
CREATE VIRTUAL TABLE words USING fts5 (
    prompt, negative_prompt, style, tags,
    content = '', tokenize = 'porter unicode61 remove_diacritics 2'
);
"""
_COLUMNS = """
    images.seq, images.id, images.job_id, images.project, images.prompt, images.seed, images.width,
    images.height, images.preset, images.style, images.starred, images.rating, images.created_at,
    files.path
"""
_PAGE = f"""
SELECT {_COLUMNS} FROM images JOIN files ON files.image_seq = images.seq
WHERE images.seq < ? ORDER BY images.seq DESC LIMIT {PAGE}
"""
_OFFSET = f"""
SELECT {_COLUMNS} FROM images JOIN files ON files.image_seq = images.seq
ORDER BY images.seq DESC LIMIT {PAGE} OFFSET ?
"""
_TAGGED = f"""
SELECT {_COLUMNS} FROM image_tags
JOIN images ON images.seq = image_tags.image_seq JOIN files ON files.image_seq = images.seq
WHERE image_tags.tag_id = (SELECT id FROM tags WHERE name = ?) AND image_tags.image_seq < ?
ORDER BY image_tags.image_seq DESC LIMIT {PAGE}
"""
_SEARCH = f"SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT {PAGE}"
_RANK = "bm25(1.0, 0.25, 0.5, 2.0)"
"""The weights that our fields have, in the order of the columns of `words`."""
_TOP = 2**62


class Peer:
    """The collection in SQLite."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def page(self, before: int = _TOP) -> list[Row]:
        """The page of pictures before that `seq`, newest first."""
        return self._rows(_PAGE, before)

    def offset(self, skip: int) -> list[Row]:
        """The page after that many pictures, found by counting them."""
        return self._rows(_OFFSET, skip)

    def tagged(self, tag: str, before: int = _TOP) -> list[Row]:
        """The page of pictures with a tag before that `seq`."""
        return self._rows(_TAGGED, tag, before)

    def tagged_seqs(self, tag: str) -> list[int]:
        """`seq` of all pictures with a tag, newest first."""
        sql = """
        SELECT image_seq FROM image_tags WHERE tag_id = (SELECT id FROM tags WHERE name = ?)
        ORDER BY image_seq DESC
        """
        return [seq for (seq,) in self._rows(sql, tag)]

    def search(self, words: Iterable[str]) -> list[int]:
        """`seq` of the best pictures for some words, any of them."""
        return [seq for (seq,) in self._rows(_SEARCH, " OR ".join(words))]

    def prompt(self, seq: int) -> str:
        """The prompt of a picture."""
        ((prompt,),) = self._rows("SELECT prompt FROM images WHERE seq = ?", seq)
        return str(prompt)

    def add(self, entries: Iterable[Entry]) -> None:
        """Record pictures with their words and tags, in one transaction."""
        batch = list(entries)
        with self._connection as transaction:
            run = transaction.executemany
            run(f"INSERT INTO images VALUES ({_places(15)})", map(_image_row, batch))
            run("INSERT INTO files VALUES (?, ?, ?, ?)", map(_file_row, batch))
            tagged = ((self._tag_ids[tag], entry.seq) for entry in batch for tag in entry.tags)
            run("INSERT INTO image_tags VALUES (?, ?)", tagged)
            run(
                "INSERT INTO words (rowid, prompt, negative_prompt, style, tags) "
                "VALUES (?, ?, ?, ?, ?)",
                map(_words, batch),
            )

    @functools.cached_property
    def _tag_ids(self) -> dict[str, int]:
        return dict(self._connection.execute("SELECT name, id FROM tags").fetchall())

    def _rows(self, sql: str, *values: object) -> list[Row]:
        return self._connection.execute(sql, values).fetchall()


def create(path: Path, images: int) -> None:
    """Make the database, with a collection of that many pictures."""
    with opened(path) as peer:
        connection = peer._connection
        connection.executescript(_TABLES)
        with connection:
            names = enumerate(collection.TAGS.names, 1)
            connection.executemany("INSERT INTO tags VALUES (?, ?)", names)
        for batch in collection.batches(collection.entries(images), _BATCH):
            peer.add(batch)
        with connection:
            connection.execute("INSERT INTO words (words) VALUES ('optimize')")
            connection.execute(f"INSERT INTO words (words, rank) VALUES ('rank', '{_RANK}')")
        connection.execute("ANALYZE")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def opened(path: Path) -> Iterator[Peer]:
    """The open database; a commit is as durable as ours."""
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        yield Peer(connection)
    finally:
        connection.close()


def _places(count: int) -> str:
    return ", ".join("?" * count)


def _image_row(entry: Entry) -> Row:
    return (
        entry.seq, entry.id, entry.job_id, entry.project, entry.prompt, entry.negative_prompt,
        entry.style, entry.preset, entry.seed, entry.width, entry.height, entry.recipe,
        entry.starred, entry.rating, entry.created_at.isoformat(),
    )  # fmt: skip


def _file_row(entry: Entry) -> Row:
    return entry.seq, entry.path, entry.sha256, entry.bytes


def _words(entry: Entry) -> Row:
    return entry.seq, entry.prompt, entry.negative_prompt, entry.style, " ".join(entry.tags)
