"""A line of a log: a JSON object, its time first."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

MARK = b'{"at":'
"""What every line begins with: tells our lines from what libraries put out."""
HEAD = ("at", "level", "process", "pid", "event")
"""Members that every line has, in this order; then come its own."""
LEVELS = ("debug", "info", "warning", "error", "critical")


def render(process: str, level: str, event: str, **members: Any) -> bytes:
    """A line of this moment."""
    head = {
        "at": now(),
        "level": level,
        "process": process,
        "pid": os.getpid(),
        "event": event,
    }
    return encode(head | members)


def encode(members: Mapping[str, Any]) -> bytes:
    """A line of members that are in order already. What JSON does not know is written as Python
    would show it."""
    return json.dumps(members, default=repr).encode() + b"\n"


def parse(line: bytes) -> dict[str, Any] | None:
    """The members of a line; None if it is none of ours, or was cut off."""
    if not line.startswith(MARK):
        return None
    try:
        members = json.loads(line)
    # The latter of one that nests too deeply.
    except (ValueError, RecursionError):
        return None
    return members if isinstance(members, dict) else None


def now() -> str:
    """This moment as the time of a line: UTC, so long that text sorts as time does."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
