"""`run/orchestrator.json` while the orchestrator runs: written, put back, removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mysticanvas import durable
from mysticanvas.contracts.runtime import Runtime
from mysticanvas.orchestrator.periodic import Periodic

_EVERY_S = 1.0


class RuntimeFile(Periodic):
    """Keeps the file as it has to be: without it no kernel finds the way here, nor may any start
    another orchestrator, since this one has the store.

    Args:
        path: where it is.
        in_place: whether its folder is still ours. In a home that was deleted and made again, the
            file is that of another orchestrator.
        displaced: called at each look that finds it otherwise.
    """

    def __init__(
        self, path: Path, in_place: Callable[[], bool], displaced: Callable[[], None]
    ) -> None:
        super().__init__("runtime-file", _EVERY_S)
        self._path = path
        self._in_place = in_place
        self._displaced = displaced
        self._content = b""
        self._seen: tuple[int, ...] = ()

    def write(self, runtime: Runtime) -> None:
        """Put the file in place in one step, readable by the user alone."""
        self._content = runtime.model_dump_json().encode()
        self._put()

    def look(self) -> None:
        """Put the file back if it is gone or another; a home that was deleted stays so."""
        if not self._in_place():
            self._displaced()
        elif self._content and self._stamp() != self._seen:
            self._put()

    def remove(self) -> None:
        """Remove the file, which has to be ours; nobody waits for this process any more."""
        self._path.unlink(missing_ok=True)

    def _put(self) -> None:
        durable.replace(self._path, self._content, self._in_place)
        self._seen = self._stamp()

    def _stamp(self) -> tuple[int, ...]:
        """What changes whenever anybody changes the file."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return ()
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode
