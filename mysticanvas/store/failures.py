"""DuckDB's errors as ours: what is wrong, and what to do about it."""

from __future__ import annotations

import os

import duckdb

from mysticanvas import durable
from mysticanvas.errors import StoreDamaged, StoreError, StoreFull, StoreLocked, StoreTooNew

_FULL = tuple(map(os.strerror, durable.FULL))
_ROOM = "Free some space on the disk of the home directory, then try again."
_WHOLE = (
    "Nothing that was recorded is lost. Try again; `mysticanvas doctor` looks at what is wrong."
)
REINSTALL = "Install mysticanvas again; the database was left untouched."
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


def of_reading(error: duckdb.Error, database: object) -> StoreError:
    """The error of the first look at a file: damage, unless it is known to be something else."""
    return _not_its_content(error, database) or damaged(database, _first_line(error))


def of_opening(error: duckdb.Error, database: object) -> StoreError:
    """The error of opening a file whose content was found in order, or that is new.

    It is no damage unless it says so: who is told of damage takes the database away.
    """
    text = _first_line(error)
    if known := _not_its_content(error, database):
        return known
    if "corrupt" in text.replace(str(database), "").lower():
        return damaged(database, text)
    return StoreError(f"{database} cannot be opened: {text}", hint=_WHOLE)


def of_writing(error: OSError, path: object) -> StoreError:
    """The error of writing a file of ours beside the database."""
    if durable.is_full(error):
        return StoreFull(f"The disk is full, so {path} could not be written.", hint=_ROOM)
    return StoreError(
        f"{path} could not be written: {error}.", hint="See who may write there, then try again."
    )


def of_extension(error: duckdb.Error) -> StoreError:
    """The error of loading what the installation has for full-text search."""
    return StoreError(
        f"DuckDB's extension for full-text search cannot be loaded: {_first_line(error)}",
        hint=REINSTALL,
    )


def _not_its_content(error: duckdb.Error, database: object) -> StoreError | None:
    """What keeps a file from being opened whatever it holds; None if it may be its content."""
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
    # The system's own reasons, such as a limit of open files, stand behind the first of them.
    if "Cannot open file" in text or isinstance(error, duckdb.OutOfMemoryException):
        return StoreError(f"{database} cannot be opened: {text}", hint=_WHOLE)
    return None


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
    """Whether a message of the database says that the disk is full."""
    return any(sign in text for sign in _FULL)


def _first_line(error: duckdb.Error) -> str:
    return str(error).partition("\n")[0]
