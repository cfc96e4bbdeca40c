"""Asks a short-lived process what a model file is: hostile files are parsed in no process that
matters."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from mysticanvas import logs
from mysticanvas.contracts.model_files import Inspection
from mysticanvas.environment import child_environment
from mysticanvas.errors import ModelFileError
from mysticanvas.orchestrator import asking

TIME_LIMIT_S = 30.0
_MODULE = "mysticanvas.workers.model_files"
_TRY_AGAIN = "Close what else uses memory, and try again. `mysticanvas logs` has more."
_log = logs.get(__name__)

_Looks = tuple[int, int, int]


class Inspector:
    """What files are, asked once for as long as they look unchanged; for use from any thread. One
    that could not be read is asked about again: why that was so changes nothing of how it looks.

    Args:
        time_limit_s: seconds that a process may take for one file.
    """

    def __init__(self, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._time_limit_s = time_limit_s
        self._known: dict[Path, tuple[_Looks, Inspection]] = {}
        self._lock = threading.Lock()

    def inspect(self, path: Path) -> Inspection:
        """What a file is.

        Raises:
            ModelFileError: it cannot be read, or is damaged.
        """
        looks = _looks(path)
        with self._lock:
            known = self._known.get(path)
        if known is None or known[0] != looks:
            known = looks, self._ask(path)
            if not known[1].unread:
                with self._lock:
                    self._known[path] = known
        inspection = known[1]
        if inspection.problem is not None:
            raise inspection.problem.to_error()
        return inspection

    def _ask(self, path: Path) -> Inspection:
        try:
            environment = child_environment({})
            # Behind "--", since a path may begin with "-".
            arguments = ["--parent-pid", str(os.getpid()), "--", str(path)]
            answer = asking.ask(_MODULE, arguments, b"", environment, self._time_limit_s)
            return Inspection.model_validate_json(answer)
        except asking.NO_ANSWER as error:
            asked, work = "the process that reads its header", "reading its header"
            silence = asking.Silence.of(error, asked, work, self._time_limit_s)
            _log.warning("inspection_failed", **silence.figures)
            raise ModelFileError(
                f"{path} cannot be used: {silence.what}.",
                hint=_TRY_AGAIN if silence.was_ended else "Copy or download the file again.",
            ) from error


def _looks(path: Path) -> _Looks:
    try:
        status = path.stat()
    except OSError as error:
        raise ModelFileError(
            f"{path} cannot be read: {error.strerror}.", hint="Check that it is there."
        ) from error
    return status.st_size, status.st_mtime_ns, status.st_ino
