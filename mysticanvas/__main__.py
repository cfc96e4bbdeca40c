"""The command line; `mysticanvas --help` lists the commands."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mysticanvas import __version__
from mysticanvas.commands import doctor, logs, prune, status, stop, store
from mysticanvas.commands.console import complain, say
from mysticanvas.commands.usage import Parser
from mysticanvas.home import NoDefaultHome, default_home


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 done, 1 an error that is explained on standard error, 2 wrong usage,
        3 (`doctor`) something is wrong or (`status`) nothing runs, 4 (`stop`) others use it,
        130 stopped by the user.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Output that cannot show a sign gets a question mark, never an exception.
        sys.stdout.reconfigure(errors="replace")
    code = 0
    try:
        code = _run(argv)
        # What failed of it later would be noise, and the interpreter's own exit code.
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        pass  # whoever read the output, `head` say, has seen enough
    except OSError as error:
        # A home that may not be read, say: the system's words name the file.
        complain(error)
        code = 1
    except KeyboardInterrupt:
        complain("stopped")
        code = 130
    _let_go_of_output()
    return code


def _run(argv: Sequence[str] | None) -> int:
    try:
        options = _parser().parse_args(argv)
    except SystemExit as end:
        # Of help or a typing mistake, which was told.
        return int(end.code or 0)
    # Late, so that `--help` and a typing mistake are answered at once.
    from mysticanvas.errors import MystiCanvasError

    try:
        return int(options.run(options))
    except MystiCanvasError as error:
        complain(error)
        return 1


def _let_go_of_output() -> None:
    """Have nothing left that the interpreter would try in vain to write out at its exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="mysticanvas", description="Pictures from local models.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    home = Parser(add_help=False)
    home.add_argument(
        "--home",
        type=Path,
        help=f"folder of pictures, database and logs (default: MYSTICANVAS_HOME{_else_home()})",
    )

    demo = commands.add_parser("demo", parents=[home], help="the tour without a notebook")
    demo.add_argument(
        "--output", type=Path, default=Path("mysticanvas-demo"), help="folder of the contact sheet"
    )
    demo.set_defaults(run=_demo)
    for command in (status, logs, stop, doctor, prune, store):
        command.add(commands, home)
    return parser


def _else_home() -> str:
    """The home of who has named none, for the text of a help."""
    try:
        return f", else {default_home()}".replace("%", "%%")
    except NoDefaultHome:
        return ""


def _demo(options: argparse.Namespace) -> int:
    from mysticanvas.demo import run

    sheet = run(options.home, options.output)
    say(f"The pictures: {sheet}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
