"""The backup of the day, out of the way of everything else."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from mysticanvas import logs
from mysticanvas.errors import MystiCanvasError
from mysticanvas.store import Store

FIRST_S = 60.0
"""Seconds after the start, when whoever started us has their first picture."""
EVERY_S = 3600.0

_log = logs.get(__name__)


class DailyBackup:
    """Sees to it that there is a backup of today; a failure is logged and tried again later."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin, on a thread of its own."""
        threading.Thread(target=self._run, name="daily-backup", daemon=True).start()

    def stop(self) -> None:
        """Make no more; one under way is ended between two tables, or when the store closes."""
        self._stopped.set()

    def _run(self) -> None:
        wait_s = FIRST_S
        while not self._stopped.wait(wait_s):
            wait_s = EVERY_S
            try:
                made = self._store.backups.if_due(datetime.now(UTC), self._check)
            except MystiCanvasError as error:
                _log.warning("backup_failed", error=str(error))
            else:
                if made is not None:
                    _log.info("backup_made", path=str(made))

    def _check(self) -> None:
        if self._stopped.is_set():
            raise MystiCanvasError("The orchestrator stops.")
