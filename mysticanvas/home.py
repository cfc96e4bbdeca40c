"""The home: where things are in it, and the folder on another disk that its state may be in."""

from __future__ import annotations

import contextlib
import errno
import os
import typing
from pathlib import Path

from mysticanvas import ownership

_STATE_NOTE, _HOME_NOTE = "state.txt", "home.txt"
"""Files that name the other folder: the first lies in the home, the second in its state."""

LOCAL_STATE = (
    "Set MYSTICANVAS_STATE to a folder on a local disk: the database will live there, while the "
    "pictures stay where they are."
)
"""What to do where locks do not hold."""


class NotItsState(FileExistsError):
    """Home and state do not belong together; `hint` says what to do."""

    def __init__(self, told: str, hint: str) -> None:
        super().__init__(errno.EEXIST, told)
        self.hint = hint


class NoDefaultHome(Exception):
    """No home was given, and the user has no directory that it could be in."""


def default_home() -> Path:
    """The platform's user data directory for MystiCanvas.

    Raises:
        NoDefaultHome: nothing tells the user's home directory.
    """
    # Late: most processes are told their home, and every kernel pays for this module.
    import platformdirs

    try:
        return Path(platformdirs.user_data_dir("mysticanvas", appauthor=False)).expanduser()
    except RuntimeError:
        raise NoDefaultHome from None


class HomePaths(typing.NamedTuple):
    """Where things are inside a home directory, and in its state on another disk if it has one."""

    root: Path
    state: Path
    """Of the database, its backups and `run/`: all that needs locks, or is renamed onto it."""
    database: Path
    write_ahead_log: Path
    images: Path
    thumbs: Path
    backups: Path
    logs: Path
    run: Path
    runtime_file: Path
    socket: Path
    start_lock: Path
    store_lock: Path
    high_water: Path
    rebuild_demand: Path
    """There while pictures are still to be read back from their files into the store."""

    @classmethod
    def of(cls, home: Path, state: Path | None = None) -> HomePaths:
        """The paths below `home`, and below `state` unless that is None; nothing is created."""
        state = state or home
        run = state / "run"
        return cls(
            root=home,
            state=state,
            database=state / "mysticanvas.duckdb",
            write_ahead_log=state / "mysticanvas.duckdb.wal",
            images=home / "images",
            thumbs=home / "thumbs",
            backups=state / "backups",
            logs=home / "logs",
            run=run,
            runtime_file=run / "orchestrator.json",
            socket=run / "orchestrator.sock",
            start_lock=run / "start.lock",
            store_lock=run / "store.lock",
            high_water=run / "store.high-water",
            rebuild_demand=run / "rebuild.unfinished",
        )

    @property
    def folders(self) -> tuple[Path, ...]:
        """All of them, the outer ones first."""
        return (self.root, self.state, *self._inner)

    @property
    def _inner(self) -> tuple[Path, ...]:
        return (self.images, self.thumbs, self.backups, self.logs, self.run)

    def owns(self, path: Path) -> bool:
        """Whether a path, whatever links lead to it, is within a folder of the home's own or takes
        the name of a file beside them."""
        place = _resolved(path)
        notes = (self.root / _STATE_NOTE, self.state / _HOME_NOTE)
        files = map(_resolved, (self.database, self.write_ahead_log, *notes))
        folders = (folder.resolve() for folder in self._inner)
        return place in files or any(map(place.is_relative_to, folders))

    def check(self) -> None:
        """Refuse home and state that do not belong together, or to us; nothing is created.

        With two databases for one home, or one for two, pictures would be lost.

        Raises:
            NotItsState: one of them is another's, or the home has its database itself so far.
            OSError: a note cannot be read, or something there belongs to another user.
        """
        ownership.check(*self.folders, self.database, self.write_ahead_log)
        for note, other in self._notes:
            noted = _noted(note)
            if noted is not None and not _same(noted, other):
                given = "is not set" if self.state == self.root else f"is {self.state}"
                told = f"{note} says {noted}, and MYSTICANVAS_STATE {given}"
                raise NotItsState(told, self._how_to_mend(note, noted))
        former = HomePaths.of(self.root).database
        if self.state != self.root and former.exists() and not (self.root / _STATE_NOTE).exists():
            told = (
                f"its database is {former}, and MYSTICANVAS_STATE is {self.state}: while nothing "
                f"runs, move {former.name} and its .wal there, with backups and run"
            )
            raise NotItsState(told, "Or leave MYSTICANVAS_STATE out for this home.")

    def _how_to_mend(self, note: Path, noted: Path) -> str:
        """What to do if a note names another folder than ours."""
        moved = "If this home was moved or renamed, and is no copy, write its path into {}"
        if note.name == _HOME_NOTE:
            return f"Set another MYSTICANVAS_STATE for this home, or none. {moved.format(note)}."
        there = f"See that {noted} is there (is its disk mounted?), or leave MYSTICANVAS_STATE out."
        return f"{there} {moved.format(noted / _HOME_NOTE)}; if its state was, its own into {note}."

    def create(self) -> None:
        """Make the folders, private to the user, and note in each of home and state where the
        other is.

        Raises:
            OSError: they cannot be made, or are another's, as `check` says.
        """
        self.check()
        ownership.take(self.folders, (self.database, self.write_ahead_log))
        if self.state != self.root:
            self._pair()

    @property
    def _notes(self) -> tuple[tuple[Path, Path], ...]:
        """Each note, and the folder that it names. That of the state is the first to be made: a
        home whose own is alone has lost its state."""
        return (self.state / _HOME_NOTE, self.root), (self.root / _STATE_NOTE, self.state)

    def _pair(self) -> None:
        # Late: who has been here before needs none of it.
        from mysticanvas import durable

        for note, other in self._notes:
            if not note.exists():
                durable.replace(note, os.fsencode(other))


def known_state(home: Path) -> Path | None:
    """The state that a home's note names, if that names the home in its turn: neither a disk that
    is not mounted nor the state of a home that this is a copy of is followed."""
    try:
        state = _noted(home / _STATE_NOTE)
        back = None if state is None else _noted(state / _HOME_NOTE)
    except (OSError, ValueError):
        return None
    return state if back is not None and _same(back, home) else None


def _resolved(path: Path) -> Path:
    """The path with its folder's links followed, not its own."""
    return path.parent.resolve() / path.name


def _noted(note: Path) -> Path | None:
    """The folder that a note names; None if there is no note."""
    try:
        return Path(os.fsdecode(note.read_bytes()))
    except FileNotFoundError:
        return None


def _same(noted: Path, folder: Path) -> bool:
    """Whether a note means that folder, whatever links lead there."""
    with contextlib.suppress(ValueError):  # A damaged note may hold what no path does.
        return noted.is_absolute() and os.path.realpath(noted) == os.path.realpath(folder)
    return False
