"""Small facts of the whole home that outlive a restart, such as whether the queue is paused."""

from __future__ import annotations

import json

from pydantic import JsonValue

from mysticanvas.contracts.base import canonical_json
from mysticanvas.store import queries, times
from mysticanvas.store.connection import Database

_SQL = queries.load("facts")


class Facts:
    """Values by name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str, default: JsonValue = None) -> JsonValue:
        """The value of that name; `default` if there is none."""
        found = self._database.read(_SQL["by_name"], name=name)
        if not found:
            return default
        value: JsonValue = json.loads(found[0]["value"])
        return value

    def set(self, name: str, value: JsonValue) -> None:
        """Keep a value under its name, in place of one that has it."""
        with self._database.write() as transaction:
            transaction.run(_SQL["save"], name=name, value=canonical_json(value), now=times.now())
