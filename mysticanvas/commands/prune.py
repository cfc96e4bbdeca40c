"""`mysticanvas prune`: remove old pictures for good. It only says what would go, unless told."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mysticanvas.commands import settings_of

# Modules that only this command needs are imported when it runs: `--help` has to be quick.
if TYPE_CHECKING:
    from mysticanvas.contracts.prune import PruneReport

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_MIB = 1 << 20


def add(commands: Any, home: argparse.ArgumentParser) -> None:
    """Add the command to the parser's subcommands; `home` is the parent with `--home`."""
    parser = commands.add_parser(
        "prune",
        parents=[home],
        help="remove old pictures for good",
        description="Pictures that meet every condition are deleted, and their files removed at "
        "once, as are those of pictures that were deleted before. Without --yes, it only says "
        "what would go. Without a condition, only what was deleted before goes.",
    )
    parser.add_argument("--older-than", type=age, metavar="AGE", help="such as 12h, 90d or 8w")
    parser.add_argument("--unstarred", action="store_true", help="only pictures without a star")
    parser.add_argument("--project", help="only pictures of this project")
    parser.add_argument("--preset", help="only pictures of this preset")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--dry-run", action="store_true", help="say what would go (the default)")
    mode.add_argument("--yes", action="store_true", help="do it")
    parser.set_defaults(run=run)


def age(text: str) -> timedelta:
    """The time that a text such as `90d` stands for.

    Raises:
        argparse.ArgumentTypeError: it stands for none.
    """
    match = re.fullmatch(r"(\d{1,6})([hdw])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no age: give hours, days or weeks, as 90d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def run(options: argparse.Namespace) -> int:
    """Prune, and print what went or would go."""
    from mysticanvas.contracts.prune import PruneRequest
    from mysticanvas.session.connection import Connection

    request = PruneRequest(
        until=None if options.older_than is None else datetime.now(UTC) - options.older_than,
        unstarred=options.unstarred,
        project=options.project,
        preset=options.preset,
        dry_run=not options.yes,
    )
    connection = Connection(settings_of(options))
    try:
        print(text(connection.call(lambda api: api.prune(request))))
    finally:
        connection.close()
    return 0


def text(report: PruneReport) -> str:
    """What to tell the user."""
    verb, hint = (
        ("would go", "\nNothing was done: --yes does it.") if report.dry_run else ("went", "")
    )
    return (
        f"{report.images:,} pictures {verb}, {report.bytes / _MIB:,.1f} MiB; and the files of "
        f"{report.deleted_images:,} that were deleted before, {report.deleted_bytes / _MIB:,.1f} "
        f"MiB.{hint}"
    )
