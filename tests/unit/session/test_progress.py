import fcntl
import io
import os
import pty
import struct
import sys
import termios
from collections.abc import Callable
from typing import Any

import PIL.Image
import pytest

from mysticanvas.contracts.jobs import JobStatus, Progress
from mysticanvas.session import notebook, progress
from mysticanvas.session.connection import Connection
from mysticanvas.session.image import Image
from mysticanvas.session.tracker import JobTracker, Snapshot

MakeJob = Callable[..., Any]
PAUSED = "waiting: the queue is paused, canvas.jobs.resume() has it go on"


class Screen(io.StringIO):
    """A standard error that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Recorded:
    """A display that notes what it is told."""

    previews = False

    def __init__(self, then: Callable[[], None]) -> None:
        self.updates: list[Snapshot] = []
        self.lines: list[str] = []
        self._then = then

    def prepare(self, seconds: float) -> None:
        pass

    def update(self, snapshot: Snapshot, seconds: float) -> None:
        self.updates.append(snapshot)
        self._then()

    def finish(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def running(make_job: MakeJob) -> Snapshot:
    stage = Progress(stage="denoise", step=12, steps=20, fraction=0.6)
    return Snapshot(make_job("running"), stage, None)


@pytest.mark.parametrize(
    ("status", "members", "stage", "said"),
    [
        ("queued", {}, Progress(stage="queue"), "waiting"),
        ("queued", {"position": 3}, Progress(stage="queue"), "waiting, 3 before it"),
        ("running", {}, Progress(stage="load"), "loading the model"),
        ("running", {}, Progress(stage="denoise", step=12, steps=20), "drawing 12/20"),
        ("running", {}, Progress(stage="upscale"), "upscale"),
    ],
)
def test_the_headline_says_what_is_being_done(
    make_job: MakeJob, status: str, members: dict[str, Any], stage: Progress, said: str
) -> None:
    assert progress.headline(Snapshot(make_job(status, **members), stage, None)) == said


def test_the_line_that_stays(make_job: MakeJob, make_image: Callable[..., Image]) -> None:
    images = [make_image(k)._record for k in range(3)]
    one = make_job("succeeded", images=images[:1])
    assert progress.summary(one, 2.14) == f"2.1 s · seed 7 · id {images[0].id[-8:]}"
    several = make_job("succeeded", images=images)
    assert progress.summary(several, 9.96) == (
        f"10.0 s · 3 images · seeds 7…9 · job {several.id[-8:]}"
    )
    reused = make_job("succeeded", images=images[:1], reused=True)
    assert progress.summary(reused, 0.1).startswith("reused · seed 7")
    assert progress.summary(make_job("succeeded", matched=True), 1.0) == "1.0 s · identical"
    assert progress.summary(make_job("failed"), 1.0) == ""


def test_a_terminal_gets_one_line_rewritten_in_place(
    running: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    display = progress.choose("auto", "id")
    display.update(running, 1.25)
    display.finish("2.1 s · seed 7 · id 1f0a9c2e")
    first, second = screen.getvalue().split("\r")[1:]
    assert first == "[############........] drawing 12/20 · 1.2 s\x1b[K"
    assert second == "2.1 s · seed 7 · id 1f0a9c2e\x1b[K\n"


@pytest.mark.parametrize(
    ("left_s", "said"),
    [
        (None, "16.5 s"),
        (1.9, "16.5 s"),
        (14.4, "16.5 s · about 14 s left"),
        (119.0, "16.5 s · about 119 s left"),
        (300.0, "16.5 s · about 5 min left"),
        (20_000.0, "16.5 s · about 6 h left"),
    ],
)
def test_the_time_that_is_left_is_said_where_it_is_known(left_s: float | None, said: str) -> None:
    assert progress.clock(16.5, left_s) == said


def test_a_terminal_says_the_time_that_is_left(
    running: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    progress.choose("auto", "id").update(running._replace(eta_s=14.0), 1.25)
    assert screen.getvalue().endswith("drawing 12/20 · 1.2 s · about 14 s left\x1b[K")


def test_what_others_say_does_not_steer_the_terminal(
    running: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    stage = Progress(stage="\x1b[2Jup", step=1, steps=2)
    told = running._replace(progress=stage, alerts=("It ended: \x1b]0;owned\x07",))
    progress.choose("auto", "id").update(told, 1.0)
    assert "It ended: \\x1b]0;owned\\x07\x1b[K\n" in screen.getvalue()
    assert "\\x1b[2Jup 1/2" in screen.getvalue()


def test_before_there_is_a_job_the_line_says_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    progress.choose("auto", "id").prepare(3.0)
    assert screen.getvalue() == f"\r[{'.' * 20}] reading the model's files · 3.0 s\x1b[K"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (100, f"[{'.' * 20}] {PAUSED} · 1.2 s"),
        (80, f"{PAUSED} · 1.2 s"),
        (40, "waiting: the queue is paused, c… · 1.2 s"),
        (9, "… · 1.2 s"),
        (5, "1.2 s"),
        (3, "1.2"),
    ],
)
def test_the_line_is_cut_to_the_terminal_s_width(columns: int, said: str) -> None:
    line = progress.fitted("." * 20, PAUSED, "1.2 s", columns)
    assert line == said
    assert len(line) <= columns


def test_a_paused_queue_stays_on_one_line_of_a_terminal(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, replica = pty.openpty()
    fcntl.ioctl(replica, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    paused = Snapshot(make_job("queued", paused=True), Progress(stage="queue"), None)
    with os.fdopen(replica, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        progress.choose("auto", "id").update(paused, 12.34)
        shown = os.read(primary, 1000).decode().removeprefix("\r").removesuffix("\x1b[K")
    os.close(primary)
    assert len(shown) < 60
    assert shown.endswith("… · 12.3 s")


def test_a_terminal_without_the_signs_still_shows_the_line(
    running: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stderr", screen)
    progress.Terminal().update(running, 1.0)
    assert b"drawing 12/20 ? 1.0 s" in screen.buffer.getvalue()  # type: ignore[attr-defined]


def test_nothing_is_shown_where_nobody_looks(
    running: Snapshot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    displays = [progress.choose("auto", "id")]
    monkeypatch.setattr(sys, "stderr", Screen())
    displays.append(progress.choose("off", "id"))
    for display in displays:
        display.update(running, 1.0)
        display.finish("done")
        assert not display.previews
    assert sys.stderr.getvalue() == ""
    assert capsys.readouterr() == ("", "")


def test_waiting_shows_every_state_until_the_end(make_job: MakeJob) -> None:
    tracker = JobTracker(make_job())
    states = iter([make_job("running"), make_job("succeeded")])
    display = Recorded(lambda: tracker.update(next(states)))
    record = progress.follow(tracker, display)
    assert record.status is JobStatus.SUCCEEDED
    assert [snapshot.record.status for snapshot in display.updates] == ["queued", "running"]
    assert not tracker.waited_for


def test_the_stop_button_ends_the_waiting_and_clears_the_line(
    make_job: MakeJob, connection: Connection
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    tracker = JobTracker(make_job("running"))
    display = Recorded(interrupt)
    with pytest.raises(KeyboardInterrupt), progress.shown(display, connection):
        progress.follow(tracker, display)
    assert display.lines == [""]
    assert not tracker.waited_for


def test_an_alert_is_a_line_of_its_own_that_stays(
    running: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    display = progress.choose("auto", "id")
    display.update(running, 1.0)
    warned = running._replace(alerts=("The worker died.",))
    display.update(warned, 2.0)
    display.update(warned, 3.0)
    display.finish("done")
    lines = screen.getvalue().replace("\x1b[K", "").split("\r")
    assert lines.count("The worker died.\n") == 1
    assert lines[-1] == "done\n"


def test_in_a_notebook_an_alert_is_shown_in_the_cell_and_stays(
    running: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[str, str]] = []
    display = progress.Notebook(notebook.Area("id"))
    monkeypatch.setattr(display._area, "show", lambda html, text: shown.append((html, text)))
    display.update(running._replace(alerts=("first", "The <worker> died.")), 1.0)
    assert '<div role="alert">The &lt;worker&gt; died.</div>' in shown[-1][0]
    assert shown[-1][1].splitlines()[1:] == ["The <worker> died."]
    display.finish("done")
    assert shown[-1] == (
        "<div>done<br>first<br>The &lt;worker&gt; died.</div>",
        "done\nfirst\nThe <worker> died.",
    )


@pytest.mark.parametrize(("side", "shown_px"), [(16, 128), (64, 256), (None, 256)])
def test_a_preview_is_shown_as_large_as_the_picture_will_be_up_to_a_limit(
    running: Snapshot, monkeypatch: pytest.MonkeyPatch, side: int | None, shown_px: int
) -> None:
    webp = io.BytesIO(b"" if side else b"no picture")
    if side:
        PIL.Image.new("RGB", (side, side)).save(webp, "webp")
    shown: list[str] = []
    display = progress.Notebook(notebook.Area("id"))
    monkeypatch.setattr(display._area, "show", lambda html, text: shown.append(html))
    display.update(running._replace(preview=webp.getvalue()), 1.0)
    assert f'style="width: {shown_px}px"' in shown[-1]


def test_a_cell_that_fails_leaves_nothing_of_what_was_shown_and_no_empty_output(
    running: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(notebook, "_ipython_display", lambda: lambda data, **_: shown.append(data))
    display = progress.Notebook(notebook.Area("id"))
    display.finish("")
    assert shown == []
    display.update(running, 1.0)
    display.finish("")
    assert shown[-1] == {"text/html": "<div></div>", "text/plain": ""}
    assert len(shown) == 2
