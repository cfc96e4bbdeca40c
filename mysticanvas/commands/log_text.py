"""A line of a log as people read it."""

from __future__ import annotations

import json
import re
from typing import Any

from mysticanvas.commands.console import Console, printable
from mysticanvas.logs.line import HEAD
from mysticanvas.logs.reading import Entry

_STYLES = {
    "debug": ("dim",),
    "info": ("green",),
    "warning": ("yellow",),
    "error": ("red",),
    "critical": ("red", "bold"),
}
_PROCESSES = ("cyan", "magenta", "blue")
_LEFT_OUT = frozenset({*HEAD, "logger"})
_BARE = re.compile(r"[^\s\"'=]+")


def text(entry: Entry, console: Console) -> str:
    """Time, process, level, event and the members; texts of several lines go below, indented."""
    members = entry.members
    level, process = str(members.get("level", "")), str(members.get("process", ""))
    rest = {name: value for name, value in members.items() if name not in _LEFT_OUT}
    # What a library has put out is read as it is.
    said = rest.pop("text", "") if members.get("event") == "output" else members.get("event", "")
    long = {name: value for name, value in rest.items() if "\n" in str(value)}
    parts = [
        console.paint(_inline(_time(str(members["at"]))), "dim"),
        console.paint(
            f"{_inline(process):<14}", _PROCESSES[sum(process.encode()) % len(_PROCESSES)]
        ),
        console.paint(f"{_inline(level):<8}", *_STYLES.get(level, ())),
        console.paint(str(said), *(() if "text" in members else ("bold",))),
        *(
            console.paint(f"{_inline(name)}=", "dim") + _value(value)
            for name, value in rest.items()
            if name not in long
        ),
    ]
    below = [f"    {row}" for value in long.values() for row in printable(str(value)).split("\n")]
    return "\n".join([" ".join(parts), *below])


def _inline(text: str) -> str:
    """What has its place in the line, and begins no other."""
    return printable(text, kept="")


def _time(at: str) -> str:
    """To the millisecond; the lines say `Z`, and so do we."""
    return f"{at[:10]} {at[11:23]}Z"


def _value(value: Any) -> str:
    if isinstance(value, str) and _BARE.fullmatch(value):
        return printable(value)
    return printable(json.dumps(value, ensure_ascii=False))
