"""`mysticanvas logs`: what the processes of a home have logged."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mysticanvas.commands import settings_of

# Modules that only this command needs are imported when it runs: `--help` has to be quick.
if TYPE_CHECKING:
    from mysticanvas.logs.following import Following
    from mysticanvas.logs.reading import Accept, Entry
    from mysticanvas.logs.story import Story

    Show = Callable[[Entry], None]

LEVELS = ("debug", "info", "warning", "error")
_LINES = 100
_POLL_S = 0.2


def add(commands: Any, home: argparse.ArgumentParser) -> None:
    """Add the command to the parser's subcommands; `home` is the parent with `--home`."""
    parser = commands.add_parser(
        "logs",
        parents=[home],
        help="show what the processes have logged",
        description="Lines of all processes in the order of time (UTC). With --request or --job, "
        "all lines of that call; else the newest. The least level that is written is set by "
        "MYSTICANVAS_LOG_LEVEL; at debug, prompts are written, too.",
        epilog="Exit code: 0 done, 1 there is no such request or job, or an error; 2 wrong usage; "
        "130 stopped by the user.",
    )
    call = parser.add_mutually_exclusive_group()
    call.add_argument("--request", metavar="ID", help="the story of a request; errors have its id")
    call.add_argument(
        "--job", metavar="ID", help="the story of a job; head or tail of an id will do"
    )
    parser.add_argument("--level", choices=LEVELS, default="debug", help="at least of this level")
    parser.add_argument(
        "-n", "--lines", type=_count, metavar="N", help=f"the newest N lines (default: {_LINES})"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is added")
    parser.add_argument("--json", action="store_true", help="print the lines as they are: JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the lines, and go on if that is wanted."""
    from mysticanvas.logs import story
    from mysticanvas.logs.following import Following

    folder = settings_of(options).paths.logs
    following = Following(folder) if options.follow else None
    call: Story | None = None
    # A variable of a script that is not set gives an empty id, which is not to show all lines.
    if options.job is not None:
        call = story.find(folder, "job", options.job)
    elif options.request is not None:
        call = story.find(folder, "request", options.request)
    show = _printer(options.json)

    def wanted(entry: Entry) -> bool:
        return story.at_least(options.level, entry) and (call is None or call.has(entry))

    shown = _history(folder, call, wanted, options.lines)
    for entry in shown:
        show(entry)
    if following is not None:
        _follow(following, wanted, show, shown)
    return 0


def _follow(following: Following, wanted: Accept, show: Show, shown: list[Entry]) -> None:
    """Show what is added, until the user stops us."""
    # What was added while the history was read is in both.
    known = {entry.raw for entry in shown}
    while True:
        for entry in following.read():
            if wanted(entry) and entry.raw not in known:
                show(entry)
        known = set()
        sys.stdout.flush()
        time.sleep(_POLL_S)


def _history(folder: Path, call: Story | None, wanted: Accept, lines: int | None) -> list[Entry]:
    from mysticanvas.logs import reading

    if call is None:
        return reading.newest(folder, _LINES if lines is None else lines, wanted)
    entries = [entry for entry in call.read(folder) if wanted(entry)]
    return entries if lines is None else entries[max(0, len(entries) - lines) :]


def _printer(json: bool) -> Show:
    from mysticanvas.commands.console import Console
    from mysticanvas.commands.log_text import text

    console = Console.of()

    def show(entry: Entry) -> None:
        print(entry.raw.decode() if json else text(entry, console))

    return show


def _count(given: str) -> int:
    if not given.isdecimal():
        raise argparse.ArgumentTypeError(f"{given!r} is no number of lines: give 0 or more")
    return int(given)
