"""The progress line of a blocking call, with a live preview in a notebook.

It is written by the thread that waits, so that it lands in the cell that asked, and at most ten
times a second. When the work is done, one line stays.
"""

from __future__ import annotations

import base64
import contextlib
import html
import io
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Protocol

from mysticanvas.contracts.ids import short
from mysticanvas.contracts.jobs import JobRecord, JobStatus
from mysticanvas.session import notebook
from mysticanvas.terminal import printable

if TYPE_CHECKING:
    from concurrent.futures import Future

    from mysticanvas.session.connection import Connection
    from mysticanvas.session.tracker import JobTracker, Snapshot

INTERVAL_S = 0.1
_BAR_CELLS = 20
_USUAL_COLUMNS = 80
_PREVIEW_PX = 256
_SCALE = 8
"""Pixels of a picture for one of its preview, which has the size of the latents."""
_WORTH_SAYING_S = 2.0
READING = "reading the model's files"
_STAGES = {
    "queue": "waiting",
    "load": "loading the model",
    "encode": "reading the prompt",
    "denoise": "drawing",
    "decode": "decoding",
    "save": "saving",
}


class Display(Protocol):
    """Where progress is shown."""

    previews: bool
    """Whether it can show a preview."""

    def prepare(self, seconds: float) -> None:
        """Show that there is no job yet: its model is looked at first."""

    def update(self, snapshot: Snapshot, seconds: float) -> None:
        """Show how far the job is."""

    def finish(self, line: str) -> None:
        """Leave `line` in place of the progress; nothing if it is empty."""


class Silent:
    """Output is not wanted."""

    previews = False

    def prepare(self, seconds: float) -> None:
        pass

    def update(self, snapshot: Snapshot, seconds: float) -> None:
        pass

    def finish(self, line: str) -> None:
        pass


class Terminal:
    """One line on standard error, rewritten in place; alerts are lines above it that stay."""

    previews = False

    def __init__(self) -> None:
        self._alerts = 0

    def prepare(self, seconds: float) -> None:
        self._show(0.0, READING, seconds)

    def update(self, snapshot: Snapshot, seconds: float) -> None:
        for alert in snapshot.alerts[self._alerts :]:
            self._write(f"\r{printable(alert)}\x1b[K\n")
        self._alerts = len(snapshot.alerts)
        self._show(fraction(snapshot), headline(snapshot), seconds, snapshot.eta_s)

    def _show(self, done: float, said: str, seconds: float, left_s: float | None = None) -> None:
        filled = round(done * _BAR_CELLS)
        bar = "#" * filled + "." * (_BAR_CELLS - filled)
        # A line that reaches the edge may already have moved to the next.
        line = fitted(bar, said, clock(seconds, left_s), _columns() - 1)
        self._write(f"\r{line}\x1b[K")

    def finish(self, line: str) -> None:
        self._write(f"\r{line}\x1b[K" + ("\n" if line else ""))

    def _write(self, text: str) -> None:
        # A terminal that cannot show a sign gets a question mark, never an exception.
        encoding = sys.stderr.encoding or "ascii"
        sys.stderr.write(text.encode(encoding, "replace").decode(encoding))
        sys.stderr.flush()


class Notebook:
    """A bar, the newest preview and the newest alert in the cell's output; alerts stay.

    Args:
        area: where in the output.
    """

    previews = True

    def __init__(self, area: notebook.Area) -> None:
        self._area = area
        self._alerts: tuple[str, ...] = ()

    def prepare(self, seconds: float) -> None:
        self._show(0.0, f"{READING} · {clock(seconds)}")

    def update(self, snapshot: Snapshot, seconds: float) -> None:
        self._alerts = tuple(map(printable, snapshot.alerts))
        said = f"{headline(snapshot)} · {clock(seconds, snapshot.eta_s)}"
        self._show(fraction(snapshot), said, _preview(snapshot))

    def _show(self, done: float, said: str, preview: str = "") -> None:
        bar = (
            f'<progress max="100" value="{done * 100:.0f}" '
            f'aria-label="{html.escape(said)}" style="vertical-align: middle"></progress>'
        )
        newest = self._alerts[-1:]
        alert = "".join(f'<div role="alert">{html.escape(text)}</div>' for text in newest)
        self._area.show(
            f"<div>{bar} {html.escape(said)}</div>{alert}{preview}",
            "\n".join([said, *newest]),
        )

    def finish(self, line: str) -> None:
        lines = [*line.splitlines(), *self._alerts] if line else []
        if not lines and not self._area.filled:
            return
        escaped = "<br>".join(map(html.escape, lines))
        self._area.show(f"<div>{escaped}</div>", "\n".join(lines))


def choose(wanted: Literal["auto", "off"], identifier: str) -> Display:
    """The display that fits where we run: notebook, terminal, or none."""
    if wanted == "off":
        return Silent()
    if notebook.in_notebook():
        return Notebook(notebook.Area(identifier))
    return Terminal() if sys.stderr is not None and sys.stderr.isatty() else Silent()


def beside(wanted: Literal["auto", "off"], tracker: JobTracker) -> Display:
    """The display of a wait for a job that goes on already: that of its cell, if it has to wait."""
    waits = notebook.in_notebook() and threading.current_thread() is threading.main_thread()
    if wanted == "off" or not waits or tracker.settled:
        return Silent()
    return Notebook(notebook.area_of_cell())


@contextlib.contextmanager
def shown(display: Display, connection: Connection) -> Iterator[None]:
    """Have previews made while `display` can show them; what was shown goes if the work fails."""
    try:
        with connection.previews() if display.previews else contextlib.nullcontext():
            yield
    except BaseException:
        display.finish("")
        raise


def follow(tracker: JobTracker, display: Display) -> JobRecord:
    """Wait for the end of a job, however it ends, while showing how far it is."""
    future = tracker.future()
    try:
        return watch(future, tracker, display)
    finally:
        future.cancel()


def watch(
    future: Future[JobRecord], tracker: JobTracker, display: Display, limit: float | None = None
) -> JobRecord:
    """The same with a future of the tracker's, for so many seconds.

    Raises:
        TimeoutError: it has not ended by then.
    """
    if isinstance(display, Silent):
        return future.result(limit)
    started = time.monotonic()
    while True:
        waited = time.monotonic() - started
        left = INTERVAL_S if limit is None else limit - waited
        with contextlib.suppress(TimeoutError):
            return future.result(max(0.0, min(INTERVAL_S, left)))
        if left <= 0:
            raise TimeoutError
        display.update(tracker.snapshot, time.monotonic() - started)


def summary(record: JobRecord, seconds: float) -> str:
    """The line that stays, such as `2.1 s · seed 7 · id 1f0a9c2e`."""
    took = "reused" if record.reused else f"{seconds:.1f} s"
    images = record.images
    if record.status is not JobStatus.SUCCEEDED:
        return ""
    if not images:
        return f"{took} · identical"
    if len(images) == 1:
        return f"{took} · seed {images[0].seed} · id {short(images[0].id)}"
    seeds = f"seeds {images[0].seed}…{images[-1].seed}"
    return f"{took} · {len(images)} images · {seeds} · job {short(record.id)}"


def headline(snapshot: Snapshot) -> str:
    """What a job is doing, such as `drawing 12/20`."""
    record, progress = snapshot.record, snapshot.progress
    if record.status is JobStatus.QUEUED and record.paused:
        return "waiting: the queue is paused, canvas.jobs.resume() has it go on"
    if record.status is JobStatus.QUEUED:
        return f"waiting, {record.position} before it" if record.position else "waiting"
    # Of a kind of worker that is not ours it may be anything.
    stage = _STAGES.get(progress.stage) or printable(progress.stage)
    return f"{stage} {progress.step}/{progress.steps}" if progress.steps else stage


def clock(seconds: float, left_s: float | None = None) -> str:
    """The time that a job has taken and still needs, such as `1.2 s · about 14 s left`."""
    took = f"{seconds:.1f} s"
    if left_s is None or left_s < _WORTH_SAYING_S:
        return took
    if left_s < 2 * 60:
        return f"{took} · about {left_s:.0f} s left"
    if left_s < 2 * 60 * 60:
        return f"{took} · about {left_s / 60:.0f} min left"
    return f"{took} · about {left_s / 60 / 60:.0f} h left"


def fitted(bar: str, said: str, took: str, columns: int) -> str:
    """The line of a terminal, such as `[####....] drawing 4/8 · 1.2 s`, in so many columns: first
    the bar goes, then the end of what is said, and the time last."""
    whole = f"[{bar}] {said} · {took}"
    if len(whole) <= columns:
        return whole
    end = f" · {took}"
    room = columns - len(end)
    if room < 1:
        return took[: max(0, columns)]
    return (said if len(said) <= room else f"{said[: room - 1]}…") + end


def _columns() -> int:
    """How wide the terminal is that standard error goes to; the usual 80 where nobody says."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _USUAL_COLUMNS
    except (OSError, ValueError):
        return _USUAL_COLUMNS


def fraction(snapshot: Snapshot) -> float:
    """How far a job is, from 0 to 1."""
    return min(1.0, max(0.0, snapshot.progress.fraction))


def _preview(snapshot: Snapshot) -> str:
    if snapshot.preview is None:
        return ""
    data = base64.b64encode(snapshot.preview).decode()
    return (
        f'<img alt="preview after step {snapshot.progress.step}" '
        f'src="data:image/webp;base64,{data}" '
        f'style="width: {_width(snapshot.preview)}px">'
    )


def _width(preview: bytes) -> int:
    """How wide a preview is shown: as the picture will be, up to a limit."""
    from PIL import Image

    try:
        own = Image.open(io.BytesIO(preview)).width
    except (OSError, ValueError, Image.DecompressionBombError):
        # Of a kind of worker that is not ours it may be anything.
        return _PREVIEW_PX
    return min(_PREVIEW_PX, own * _SCALE)
