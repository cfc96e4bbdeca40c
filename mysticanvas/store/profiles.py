"""What was traced of models, under keys that say all it depends on."""

from __future__ import annotations

from mysticanvas.store import queries, times
from mysticanvas.store.connection import Database

_SQL = queries.load("profiles")


class ModelProfiles:
    """JSON documents by key; what they say is the business of who keeps them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> str | None:
        """The document under a key; None if there is none."""
        found = self._database.read(_SQL["get"], key=key)
        return str(found[0]["profile"]) if found else None

    def save(self, key: str, model: str, profile: str) -> None:
        """Keep a document, in place of the one that was there.

        Args:
            model: digest of its files.

        Raises:
            StoreFull, StoreError: it could not be kept.
        """
        with self._database.write() as transaction:
            transaction.run(_SQL["save"], key=key, model=model, profile=profile, now=times.now())
