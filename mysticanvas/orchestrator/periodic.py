"""A thread that looks after something now and then."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

from mysticanvas import logs

_log = logs.get(__name__)


class Periodic(ABC):
    """Looks every so often until it is stopped; a look that fails is logged, and the next comes.

    Args:
        name: of the thread.
        every_s: seconds between the end of a look and the next one.
    """

    def __init__(self, name: str, every_s: float) -> None:
        self._every_s = every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def look(self) -> None:
        """Look once, and do what there is to do.

        Raises:
            MystiCanvasError: something failed; it is tried again with the next look.
        """

    def start(self) -> None:
        """Begin, on a thread of its own."""
        self._thread.start()

    def ask_to_end(self) -> None:
        """Look no more; a look that is under way is not waited for."""
        self._stopping.set()

    def stop(self) -> None:
        """Look no more; returns when a look that is under way is over."""
        self.ask_to_end()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            try:
                self.look()
            # Whatever it meets, what it looks after needs it the next time as well.
            except Exception:  # noqa: BLE001
                _log.exception("look_failed", thread=self._thread.name)
