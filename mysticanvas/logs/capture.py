"""What a child process puts out, turned into log lines by its parent.

A child's standard output and error are one pipe. Its own log lines are on it, and whatever
libraries, C++ and the interpreter's last words add. The parent's thread reads without ever waiting
for a disk for long, so that a child never blocks; what is too much is counted and dropped.

Which lines are a child's own, a mark says that its parent gives it: text of a model or of a request
may look like one, and a library may put it out.

A library does not know for which request it works. So the child says on the same pipe whose work
begins and ends (`claim`), and the lines between them get the id.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from mysticanvas import processes
from mysticanvas.logs import line
from mysticanvas.logs.file import LogFile
from mysticanvas.logs.redaction import text as redacted

BURST_BYTES = 256 << 10
BYTES_A_SECOND = 16 << 10
"""Output of libraries that is kept: this much at once, and then this much in the long run."""
TEXT_CHARS = 4_000
LAST_WORDS = 20
"""Lines at the end of a process that are kept in any case."""

_CRASHED = b"Fatal Python error: "
_WHERE = re.compile(
    rb"\s|$|<|Thread 0x|Current thread|Stack |Extension modules|Python runtime state"
)
"""How lines begin in which the interpreter goes on after that."""
_HEAD_BYTES = 150
"""What the other members of such a line take."""
_CHUNK = 1 << 16
_LONGEST = 1 << 20
_MARK = "MYSTICANVAS_LOG_MARK"
_mark = os.environ.get(_MARK, "").encode()
_captured = False


def marked(environment: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
    """The environment of a child that is to be captured, and the mark of its lines: a new one."""
    mark = os.urandom(8).hex()
    return {**environment, _MARK: mark}, mark.encode()


def begin() -> None:
    """Say, in a child, that whoever started it captures what it puts out."""
    global _captured
    _captured = True
    for stream in (sys.stdout, sys.stderr):
        # A pipe is buffered by the block otherwise, and a crash takes the block with it.
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a file, here


def put(content: bytes) -> None:
    """Write a line of ours to standard error, whole. A reader that is gone is no error: it was our
    parent, and we end with it."""
    with contextlib.suppress(OSError):
        os.write(2, _mark + content)


@contextlib.contextmanager
def claim(**members: Any) -> Iterator[None]:
    """Have all output of this process count as part of what the members name, such as a job."""
    _announce(members)
    try:
        yield
    finally:
        processes.flush_c_output()
        _announce({})


def _announce(members: dict[str, Any]) -> None:
    if _captured:
        put(line.encode({"at": line.now(), "whose": members}))


def take_in(path: Path) -> str:
    """The end of what an earlier process left in the file of its output, which is emptied: a
    process that outlives whoever started it has no reader, and crashes into a file."""
    try:
        with path.open("r+b") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _CHUNK))
            left = file.read()
            file.truncate(0)
    except OSError:
        return ""
    return redacted(left.decode(errors="replace").strip())


class Budget:
    """How much may be kept. Once used up, nothing is until it is whole again: a flood gives a few
    long pieces, not every hundredth line."""

    def __init__(
        self,
        burst: int = BURST_BYTES,
        rate: float = BYTES_A_SECOND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst, self._rate, self._clock = burst, rate, clock
        self._left = float(burst)
        self._at = clock()
        self._closed = False

    def spend(self, size: int) -> bool:
        """Whether that many bytes may be kept; if so, they are spent."""
        if self.closed:
            return False
        self._closed = size > self._left
        if not self._closed:
            self._left -= size
        return not self._closed

    @property
    def closed(self) -> bool:
        """Whether nothing may be kept now."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        return self._closed and self._left < self._burst


class Capture:
    """Reads what a child puts out, on a thread of its own, until its end.

    Args:
        output: the pipe; it is closed at its end.
        file: where the lines go.
        process, pid: the child, as its lines name it.
        mark: what its own lines begin with; see `marked`.
        budget: how much of what libraries put out is kept.
    """

    def __init__(
        self,
        output: BinaryIO,
        file: LogFile,
        process: str,
        pid: int,
        mark: bytes = b"",
        budget: Budget | None = None,
    ) -> None:
        self._output = output
        self._file = file
        self._mark = mark
        self._head = {"process": process, "pid": pid}
        self._budget = budget or Budget()
        self._whose: dict[str, Any] = {}
        self._dropped_lines = self._dropped_bytes = 0
        self._last: deque[bytes] = deque(maxlen=LAST_WORDS)
        self._crash: list[bytes] = []
        """The last lines down to where the interpreter says that it crashed, if it has."""
        self._thread = threading.Thread(target=self._run, name=f"output-{pid}", daemon=True)
        self._thread.start()

    def finish(self, timeout_s: float = 1.0) -> list[str]:
        """Wait, after the child's end, until all is read; the last lines that were none of its
        log. Of a crash, those before the interpreter tells where all threads were."""
        self._thread.join(timeout_s)
        return self._last_words()

    def _run(self) -> None:
        rest = b""
        with self._output:
            while chunk := os.read(self._output.fileno(), _CHUNK):
                whole, end, rest = (rest + chunk).rpartition(b"\n")
                if len(rest) > _LONGEST:
                    whole, end, rest = rest, b"\n", b""
                if end:
                    self._take_all(whole)
        self._take_all(rest)
        self._end()

    def _take_all(self, lines: bytes) -> None:
        if self._budget.closed and self._mark + line.MARK not in lines:
            # A flood: to look at each line would take as much of a core as making it did.
            self._drop(lines)
            return
        for each in lines.split(b"\n"):
            try:
                self._take(each)
            # Whatever a line is like: a child that nobody reads from any more breaks at its next.
            except Exception:  # noqa: BLE001
                self._drop(each)

    def _take(self, raw: bytes) -> None:
        # A library may have left its own line open.
        before, _, rest = raw.partition(self._mark + line.MARK)
        own = line.MARK + rest
        members = line.parse(own)
        if members is None:
            self._foreign(raw)
            return
        self._foreign(before)
        if "whose" in members:
            self._whose = _ids(members["whose"])
        else:
            self._file.write(own + b"\n")

    def _foreign(self, raw: bytes) -> None:
        said = _text(raw)
        if not said:
            return
        if self._budget.spend(len(said) + _HEAD_BYTES):
            self._remember(raw)
            self._tell_dropped()
            self._write("info", "output", text=said)
        else:
            self._drop(raw)

    def _drop(self, lines: bytes) -> None:
        if self._crash or _CRASHED in lines:
            for each in lines.split(b"\n"):
                self._remember(each)
        else:
            self._last.extend(lines.rsplit(b"\n", LAST_WORDS)[-LAST_WORDS:])
        self._dropped_lines += lines.count(b"\n") + 1
        self._dropped_bytes += len(lines)

    def _remember(self, raw: bytes) -> None:
        before, crashed, what = raw.partition(_CRASHED)
        if crashed:
            # Such as the assertion that did not hold, or a progress bar.
            self._crash = [*self._last, before, crashed + what]
        elif not _WHERE.match(raw):
            self._crash = []
        self._last.append(raw)

    def _last_words(self) -> list[str]:
        return _texts(self._crash or list(self._last))

    def _end(self) -> None:
        unsaid = _texts(list(self._last))[-self._dropped_lines :] if self._dropped_lines else []
        self._tell_dropped()
        for said in unsaid:
            self._write("info", "output", text=said)

    def _tell_dropped(self) -> None:
        if self._dropped_lines:
            lines, size = self._dropped_lines, self._dropped_bytes
            self._dropped_lines = self._dropped_bytes = 0
            self._write("warning", "output_dropped", lines=lines, bytes=size)

    def _write(self, level: str, event: str, **members: Any) -> None:
        head: dict[str, Any] = {**self._head, **members, **self._whose}
        self._file.write(line.render(level=level, event=event, **head))


def _ids(whose: Any) -> dict[str, str]:
    """The members that a child may give to the lines of its libraries."""
    given = whose if isinstance(whose, dict) else {}
    return {name: str(given[name]) for name in ("request_id", "job_id") if given.get(name)}


def _texts(lines: Iterable[bytes]) -> list[str]:
    return [said for said in map(_text, lines) if said]


def _text(raw: bytes) -> str:
    """What a person would see of it: of a progress bar, its last state."""
    said = raw.decode(errors="replace").rstrip().rpartition("\r")[2]
    return redacted(said if len(said) <= TEXT_CHARS else f"{said[:TEXT_CHARS]}…")
