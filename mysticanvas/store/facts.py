"""Small facts of the whole home that outlive a restart, such as whether the queue is paused."""

from __future__ import annotations

import json

from pydantic import JsonValue

from mysticanvas.contracts.base import canonical_json
from mysticanvas.store import queries, times
from mysticanvas.store.connection import Database
from mysticanvas.store.remembered import Remembered

_SQL = queries.load("facts")


class Facts:
    """Values by name."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._texts: Remembered[str, str | None] = Remembered()

    def get(self, name: str, default: JsonValue = None) -> JsonValue:
        """The value of that name; `default` if there is none."""
        text = self._texts.get(name, lambda: self._read(name))
        value: JsonValue = default if text is None else json.loads(text)
        return value

    def set(self, name: str, value: JsonValue) -> None:
        """Keep a value under its name, in place of one that has it."""
        with self._database.write() as transaction:
            transaction.run(_SQL["save"], name=name, value=canonical_json(value), now=times.now())
        self._texts.forget()

    def _read(self, name: str) -> str | None:
        found = self._database.read(_SQL["by_name"], name=name)
        return str(found[0]["value"]) if found else None
