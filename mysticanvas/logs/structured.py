"""structlog and the standard library's loggers, set up so that both give the same lines."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, MutableMapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog

from mysticanvas.logs import capture, line
from mysticanvas.logs.file import LogFile
from mysticanvas.logs.redaction import redact

LEVEL = "MYSTICANVAS_LOG_LEVEL"
_QUIET = (
    # At debug level, some of these log the headers of a request, with the token.
    "httpx", "httpcore", "urllib3", "uvicorn", "websockets", "asyncio", "multipart",
    "python_multipart", "PIL", "filelock", "fsspec", "matplotlib", "torch", "diffusers",
    "transformers", "accelerate",
)  # fmt: skip
_Event = MutableMapping[str, Any]


def bind(**members: Any) -> AbstractContextManager[None]:
    """`with bind(request_id=…, job_id=…):` puts the members that have a value on every line
    inside."""
    given = {name: value for name, value in members.items() if value}
    return structlog.contextvars.bound_contextvars(**given)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger; `log.info("event", key=value)`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def request_id() -> str:
    """The id of the request at hand; empty if there is none."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))


def configure(path: Path | None, process: str, level: str | None = None) -> None:
    """Send structlog, the standard library's loggers, warnings and errors that nobody catches to
    `path`, a JSON object a line.

    Args:
        path: the file, which is rotated; None for standard error, where whoever started us reads.
        process: what goes into the `process` member of each line.
        level: the least level of our own loggers, one of `line.LEVELS`; libraries are not heard
            below `info`. By default what `MYSTICANVAS_LOG_LEVEL` says, else `info`.
    """
    own = (level or os.environ.get(LEVEL) or "info").upper()
    if path is None:
        capture.begin()
    handler = _Handler(capture.put if path is None else LogFile(path).write)
    shared = _shared(process)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact,
                _ordered,
            ],
        )
    )
    _levels(handler, own)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


class _Handler(logging.Handler):
    """Gives each line to a function, whole."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        # What cannot be formatted is a mistake of ours, and no reason to stop any work.
        except Exception:  # noqa: BLE001
            self.handleError(record)
        else:
            self._write(text.encode() + b"\n")


def _shared(process: str) -> list[Any]:
    head = {"process": process, "pid": os.getpid()}

    def stamp(_logger: Any, _method: str, event: _Event) -> _Event:
        event.update(head, at=line.now())
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        stamp,
    ]


def _ordered(_logger: Any, _method: str, event: _Event) -> str:
    head = {name: event.pop(name) for name in line.HEAD}
    return line.encode(head | dict(event)).decode().rstrip("\n")


def _levels(handler: logging.Handler, own: str) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler]
    number = logging.getLevelNamesMapping().get(own, logging.INFO)
    root.setLevel(max(number, logging.INFO))
    logging.getLogger("mysticanvas").setLevel(number)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def _uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    get("mysticanvas").critical("uncaught_error", exc_info=(kind, error, traceback))
    # Also where whoever started us looks for the reason.
    sys.__excepthook__(kind, error, traceback)


def _uncaught_in_thread(given: threading.ExceptHookArgs) -> None:
    # Python says nothing of a thread that a SystemExit ends; none of ours is to end like that.
    if given.exc_value is None:
        return
    thread = given.thread.name if given.thread else ""
    caught = (given.exc_type, given.exc_value, given.exc_traceback)
    get("mysticanvas").critical("uncaught_error", thread=thread, exc_info=caught)
