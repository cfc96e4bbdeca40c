"""Logs of every process, as JSON lines in the home's `logs` folder.

Orchestrator and commands write files of their own. Workers and helpers write to their standard
error, as does every library in them; the orchestrator reads that and writes it down (`capture.py`).
So a file has one writer, and a process that crashes has its last words kept.

The id of the request at hand is on every line, from a context variable that the HTTP shell and the
queue set. Prompts are logged at debug level only, secrets never.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mysticanvas.logs.structured import (
        bind as bind,
        configure as configure,
        get as get,
        request_id as request_id,
    )

_LAZY = ("bind", "configure", "get", "request_id")


def __getattr__(name: str) -> Any:
    # Late, since structlog takes a while: helpers, and commands that only read, do without it.
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mysticanvas.logs import structured

    value = globals()[name] = getattr(structured, name)
    return value
