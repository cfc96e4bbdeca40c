"""What was traced of models, under keys that say all it depends on."""

from __future__ import annotations

from datetime import datetime, timedelta

from mysticanvas import logs
from mysticanvas.errors import StoreError
from mysticanvas.store import queries, times
from mysticanvas.store.connection import Database

KEPT_UNUSED = timedelta(days=90)
"""How long a document is kept that nobody asks for: one of a version of a library that is not
installed any more, say."""
KEPT_ANYHOW = 64
"""Documents that are kept however long ago they were asked for, the last ones: a clock that is
years ahead makes all of them old at once."""
_NOTED_EVERY = timedelta(days=7)
_SQL = queries.load("profiles")
_log = logs.get(__name__)


class ModelProfiles:
    """JSON documents by key; what they say is the business of who keeps them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> str | None:
        """The document under a key; None if there is none. Its use is noted now and then."""
        found = self._database.read(_SQL["get"], key=key)
        if not found:
            return None
        now = times.now()
        if abs(now - found[0]["used_at"]) >= _NOTED_EVERY:
            self._note_used(key, now)
        return str(found[0]["profile"])

    def save(self, key: str, model: str, profile: str) -> None:
        """Keep a document, in place of the one that was there.

        Args:
            model: digest of its files.

        Raises:
            StoreFull, StoreError: it could not be kept.
        """
        with self._database.write() as transaction:
            transaction.run(_SQL["save"], key=key, model=model, profile=profile, now=times.now())

    def prune(self) -> int:
        """Forget documents that nobody has asked for in a long time; how many."""
        with self._database.write() as transaction:
            return transaction.change(
                _SQL["prune"], before=times.now() - KEPT_UNUSED, least=KEPT_ANYHOW
            )

    def _note_used(self, key: str, now: datetime) -> None:
        try:
            with self._database.write() as transaction:
                transaction.run(_SQL["note_used"], key=key, now=now)
        except StoreError as error:
            # On a full disk, a model can be planned all the same.
            _log.warning("use_not_noted", code=error.code)
