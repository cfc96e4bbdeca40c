"""The high-water mark: how much the database held when it was last known to be good.

A write-ahead log that is cut off opens without a word, with the rows that are left, a database from
an old backup looks just like any other, and one that is gone like one that never was. Only a mark
that is kept elsewhere can tell.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mysticanvas import durable, logs

_log = logs.get(__name__)


class Mark(NamedTuple):
    """What a database holds; none of it ever becomes less."""

    schema_version: int = 0
    images: int = 0
    """Rows, those of deleted pictures included."""
    images_seq: int = 0
    jobs_seq: int = 0

    def missing_from(self, present: Mark) -> list[str]:
        """What the mark has and `present` has not, a few words each."""
        return [
            f"{name} is {now}, was {then}"
            for name, then, now in zip(self._fields, self, present, strict=True)
            if now < then
        ]


class HighWater:
    """The mark's file.

    Args:
        path: the file.
        measure: what the database holds now.
        in_place: whether the folder of the file is still that of the database.
    """

    def __init__(
        self, path: Path, measure: Callable[[], Mark], in_place: Callable[[], bool]
    ) -> None:
        self._path = path
        self._measure = measure
        self._in_place = in_place
        self._lock = threading.Lock()

    def update(self) -> None:
        """Bring the file up to what is committed now.

        A mark that cannot be written is logged and no more: the rows themselves are safe, and
        whoever recorded them must not be told otherwise.
        """
        # Measured under the lock: a mark never replaces one that is newer.
        with self._lock:
            mark = self._measure()
            try:
                write(self._path, mark, self._in_place)
            except OSError as error:
                _log.warning("high_water_not_written", error=str(error))


def read(path: Path) -> Mark | None:
    """The mark in the file; None if there is no readable mark."""
    try:
        found = json.loads(path.read_bytes())
        return Mark(**{name: int(found.get(name, 0)) for name in Mark._fields})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        _log.warning("high_water_unreadable", path=str(path), error=str(error))
        return None


def write(path: Path, mark: Mark, still: Callable[[], bool] = lambda: True) -> None:
    """Have the file hold this mark, whatever it held.

    Args:
        still: as of `durable.replace`.
    """
    durable.replace(path, json.dumps(mark._asdict()).encode(), still)
