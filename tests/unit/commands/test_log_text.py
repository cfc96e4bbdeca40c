"""Log lines as people read them."""

from __future__ import annotations

import json

from mysticanvas.commands.console import Console
from mysticanvas.commands.log_text import text
from mysticanvas.logs.reading import Entry

HEAD = {"at": "2026-05-04T10:00:01.234567Z", "level": "warning", "process": "orchestrator"}
PLAIN = Console(colour=False)


def entry(**members: object) -> Entry:
    found = Entry.of(json.dumps(HEAD | {"pid": 7} | members).encode())
    assert found is not None
    return found


def test_time_process_level_event_and_members() -> None:
    shown = text(entry(event="job_requeued", job_id="0199", reason="it died", logger="x"), PLAIN)
    assert shown == (
        '2026-05-04 10:00:01.234Z orchestrator   warning  job_requeued job_id=0199 reason="it died"'
    )


def test_what_a_library_said_is_read_as_it_is_but_steers_no_terminal() -> None:
    shown = text(entry(event="output", text="\x1b[31mred \x9b2J", request_id="r"), PLAIN)
    assert shown.endswith("warning  \\x1b[31mred \\x9b2J request_id=r")


def test_nothing_of_a_line_steers_a_terminal_or_begins_another_line() -> None:
    hostile = dict.fromkeys(("at", "level", "process", "event"), "\x1b]0;x\x07\n")
    first, second = text(entry(**hostile, **{"\x1b[2J\nname": 1}), PLAIN).split("\n")
    for part in (first, second):
        assert part.isprintable()
    assert second.endswith("\\x1b[2J\\x0aname=1"), "an event may have several lines"


def test_a_traceback_goes_below() -> None:
    shown = text(entry(event="failed", exception="Traceback:\n  line", code=3), PLAIN)
    first, *below = shown.split("\n")
    assert first.endswith("failed code=3")
    assert below == ["    Traceback:", "      line"]


def test_colours_change_nothing_but_the_colour() -> None:
    import re

    given = entry(event="x", values=[1, 2], text="y")
    painted = text(given, Console(colour=True))
    assert painted != text(given, PLAIN)
    assert re.sub(r"\x1b\[[\d;]*m", "", painted) == text(given, PLAIN)
