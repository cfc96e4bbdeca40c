"""Keeps the search index up with the pictures, in the background."""

from __future__ import annotations

import threading

from mysticanvas import logs
from mysticanvas.errors import StoreError
from mysticanvas.store import Store

_log = logs.get(__name__)


class IndexKeeper:
    """One thread that lets the store maintain its index when something was recorded.

    Args:
        check_s: seconds between two looks at whether something was; a look costs nothing.
    """

    def __init__(self, store: Store, check_s: float = 1.0) -> None:
        self._store = store
        self._check_s = check_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="index-keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the step that is under way is done."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        seen = -1
        while not self._stopping.is_set():
            commits = self._store.database.commits
            if commits != seen:
                seen = commits
                self._catch_up()
            self._stopping.wait(self._check_s)

    def _catch_up(self) -> None:
        try:
            while self._store.search.maintain() and not self._stopping.is_set():
                pass
        except StoreError as error:
            # Searches go on: what is not indexed is scanned. The next picture is the next try.
            _log.warning("index_not_maintained", error=str(error))
