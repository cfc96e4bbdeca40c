"""What DuckDB's errors are to us: damage is what nothing else explains, at the first look alone."""

from __future__ import annotations

import duckdb
import pytest

from mysticanvas.errors import StoreDamaged, StoreError, StoreFull, StoreLocked, StoreTooNew
from mysticanvas.store import failures

FILE = "/home/corrupt/mysticanvas.duckdb"
CORRUPT = duckdb.IOException(
    "IO Error: Corrupt database file: computed checksum 1 does not match stored checksum 2"
)
CONTENT = duckdb.SerializationException("Serialization Error: Failed to deserialize: expected 100")


@pytest.mark.parametrize("of", [failures.of_reading, failures.of_opening])
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f'IO Error: Cannot open file "{FILE}.wal": Too many open files', StoreError),
        (f'IO Error: Cannot open file "{FILE}": Permission denied', StoreError),
        (f'IO Error: Could not set lock on file "{FILE}": Conflicting lock', StoreLocked),
        (f'IO Error: Could not write file "{FILE}": No space left on device', StoreFull),
        ("IO Error: Trying to read a database file with version number 99", StoreTooNew),
    ],
)
def test_what_says_nothing_of_the_content(of: object, text: str, kind: type[StoreError]) -> None:
    assert callable(of)
    assert type(of(duckdb.IOException(text), FILE)) is kind


def test_memory_is_no_damage() -> None:
    error = duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate")
    assert type(failures.of_reading(error, FILE)) is StoreError


def test_whatever_else_comes_at_the_first_look_is_damage() -> None:
    for error in (CORRUPT, CONTENT):
        assert type(failures.of_reading(error, FILE)) is StoreDamaged


def test_after_it_only_what_says_so_is_damage() -> None:
    assert type(failures.of_opening(CORRUPT, FILE)) is StoreDamaged
    for text in ("Catalog Error: no such table", f'IO Error: Could not write file "{FILE}": ?'):
        error = failures.of_opening(duckdb.CatalogException(text), FILE)
        assert type(error) is StoreError
        assert error.detail == f"{FILE} cannot be opened: {text}"
        assert "Nothing that was recorded is lost" in error.hint
