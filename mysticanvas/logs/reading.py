"""Reading the logs of a home: which files, which lines, in the order of time."""

from __future__ import annotations

import itertools
import operator
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from mysticanvas.logs import line
from mysticanvas.logs.file import KEPT_FILES, rotated

_BLOCK = 1 << 16
_SKEW_S = 60.0
"""How much the clocks of an id and of a file may differ."""


class Entry(NamedTuple):
    """A line as it is read."""

    members: dict[str, Any]
    raw: bytes

    @classmethod
    def of(cls, raw: bytes) -> Entry | None:
        """The entry of a line; None if it is no line of ours, or was cut off."""
        members = line.parse(raw)
        return None if members is None or not isinstance(members["at"], str) else cls(members, raw)


Accept = Callable[[Entry], bool]


def logs(folder: Path) -> list[Path]:
    """The logs of a folder, without their older parts."""
    # In mid-rotation, a log may have nothing but older parts.
    names = {path.name.partition(".jsonl")[0] for path in folder.glob("*.jsonl*")}
    return sorted(folder / f"{name}.jsonl" for name in names)


def parts(log: Path, since: float | None = None) -> list[Path]:
    """The parts of a log that may hold lines since a time, the newest first.

    Args:
        since: seconds since the epoch; parts that were last changed before are left out.
    """
    found = []
    for path in rotated(log, KEPT_FILES):
        try:
            changed = path.stat().st_mtime
        except FileNotFoundError:
            continue
        if since is None or changed >= since - _SKEW_S:
            found.append(path)
    return found


def newest(folder: Path, count: int, accept: Accept) -> list[Entry]:
    """The last `count` lines that are accepted, the oldest of them first."""
    found = []
    for log in logs(folder):
        entries = (entry for raw in _backwards(log) if (entry := Entry.of(raw)))
        found.append(list(itertools.islice(filter(accept, entries), count))[::-1])
    lines = in_order(found)
    return lines[max(0, len(lines) - count) :]


def mentioning(folder: Path, words: set[str], since: float | None = None) -> list[Entry]:
    """All lines in which any of the words is, in order."""
    needles = [word.encode() for word in words]
    found = []
    for log in logs(folder):
        # From the newest, or what is rotated meanwhile would be missed. A part may be met twice
        # under two names.
        read = [list(_with_any(_content(part), needles)) for part in parts(log, since)]
        lines = dict.fromkeys(raw for part in reversed(read) for raw in part)
        found.append([entry for raw in lines if (entry := Entry.of(raw))])
    return in_order(found)


def in_order(logs: Iterable[list[Entry]]) -> list[Entry]:
    """The lines of several logs, each as it was written, by time.

    The times of one machine are comparable, and as text sort as they are. Where its clock was set
    back, a log keeps its own order all the same: a line counts as no later than what was written
    behind it.
    """
    timed = [pair for entries in logs for pair in zip(_times(entries), entries, strict=True)]
    return [entry for _, entry in sorted(timed, key=operator.itemgetter(0))]


def _times(entries: list[Entry]) -> list[str]:
    """By what time each line of a log counts."""
    backwards = (entry.members["at"] for entry in reversed(entries))
    return list(itertools.accumulate(backwards, min))[::-1]


def made_at(identifier: str) -> float | None:
    """When a whole id was made, in seconds since the epoch; None for a part of one."""
    try:
        found = uuid.UUID(identifier)
    except ValueError:
        return None
    return (found.int >> 80) / 1000 if found.version == 7 else None


def _with_any(content: bytes, needles: list[bytes]) -> Iterator[bytes]:
    at = 0
    while at < len(content):
        hits = [hit for needle in needles if (hit := content.find(needle, at)) >= 0]
        if not hits:
            return
        begin = content.rfind(b"\n", 0, min(hits)) + 1
        end = content.find(b"\n", min(hits))
        at = len(content) if end < 0 else end + 1
        yield content[begin:at].rstrip(b"\n")


def _content(part: Path) -> bytes:
    try:
        return part.read_bytes()
    except FileNotFoundError:
        return b""


def _backwards(log: Path) -> Iterator[bytes]:
    """All lines of a log from the last to the first; a block at a time."""
    for part in parts(log):
        try:
            file = part.open("rb")
        except FileNotFoundError:
            continue
        with file:
            yield from _lines_backwards(file)


def _lines_backwards(file: BinaryIO) -> Iterator[bytes]:
    at = file.seek(0, 2)
    rest = b""
    while at > 0:
        size = min(_BLOCK, at)
        at = file.seek(at - size)
        first, *whole = (file.read(size) + rest).split(b"\n")
        yield from (raw for raw in reversed(whole) if raw)
        rest = first
    if rest:
        yield rest
