"""DuckDB's errors as ours: what is wrong, and what to do about it."""

from __future__ import annotations

import duckdb

from mysticanvas.errors import StoreDamaged, StoreError, StoreFull, StoreLocked, StoreTooNew

_FULL = ("No space left on device", "File too large", "Disk quota exceeded")
_ROOM = "Free some space on the disk of the home directory, then try again."
_RESTART = "Stop the orchestrator (`mysticanvas stop`) and start again; what was recorded is kept."


def of(error: duckdb.Error) -> StoreError:
    """The error of a statement."""
    text = _first_line(error)
    if is_full(text):
        return StoreFull("The disk is full, so nothing was recorded.", hint=_ROOM)
    return StoreError(f"The database refused: {text}")


def fatal(error: duckdb.FatalException) -> StoreError:
    """The error after which the database answers nothing until it is opened again."""
    text = _first_line(error)
    if is_full(text):
        return StoreFull(
            "The disk is full and the database has stopped.", hint=f"{_ROOM} {_RESTART}"
        )
    return StoreError(f"The database has stopped: {text}", hint=_RESTART)


def of_opening(error: duckdb.Error, database: object) -> StoreError:
    """The error of an attempt to open the file."""
    text = _first_line(error)
    if is_full(text):
        return full(database)
    if "Could not set lock" in text:
        return StoreLocked(
            f"{database} is open in another program: {text}",
            hint="Close it there; only one process can have the database open.",
        )
    if "version number" in text:
        return StoreTooNew(f"{database}: {text}", hint="Install a newer mysticanvas.")
    if "Permission denied" in text or isinstance(error, duckdb.OutOfMemoryException):
        return StoreError(f"{database} cannot be opened: {text}")
    return damaged(database, text)


def full(database: object) -> StoreFull:
    """The error for a disk that has no room for opening."""
    return StoreFull(f"The disk is full, so {database} cannot be opened.", hint=_ROOM)


def no_room(needed: int, free: int) -> StoreFull:
    """The error for work that is not begun, since it could fill the disk."""
    return StoreFull(
        f"The disk is too full: {needed >> 20:,} MiB may be needed, {free >> 20:,} MiB are free.",
        hint=_ROOM,
    )


def damaged(database: object, what: str) -> StoreDamaged:
    """The error for a file that is there and not right; it is left untouched."""
    return StoreDamaged(f"{database} is damaged, and is left as it is: {what}")


def missing(database: object, what: str) -> StoreDamaged:
    """The error for a file that should be there; none is made in its place."""
    return StoreDamaged(f"{database} is missing, and none is made in its place: {what}")


def is_full(text: str) -> bool:
    """Whether a message of the database or the system says that the disk is full."""
    return any(sign in text for sign in _FULL)


def _first_line(error: duckdb.Error) -> str:
    return str(error).partition("\n")[0]
