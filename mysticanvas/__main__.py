"""The command line; `mysticanvas --help` lists the commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mysticanvas import __version__
from mysticanvas.commands import doctor, prune, store


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 done, 1 an error that is explained on standard error, 2 wrong usage,
        3 (of `doctor`) something is wrong, 130 stopped by the user.
    """
    options = _parser().parse_args(argv)
    # Late, so that `--help` and a typing mistake are answered at once.
    from mysticanvas.errors import MystiCanvasError

    try:
        return int(options.run(options))
    except MystiCanvasError as error:
        print(f"mysticanvas: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mysticanvas: stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mysticanvas", description="Pictures from local models.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    home = argparse.ArgumentParser(add_help=False)
    home.add_argument("--home", type=Path, help="home directory (default: a user's own)")

    demo = commands.add_parser("demo", parents=[home], help="the tour without a notebook")
    demo.add_argument(
        "--output", type=Path, default=Path("mysticanvas-demo"), help="folder of the contact sheet"
    )
    demo.set_defaults(run=_demo)

    stop = commands.add_parser(
        "stop", parents=[home], help="stop orchestrator and workers of a home"
    )
    stop.add_argument("--force", action="store_true", help="even while others use them")
    stop.set_defaults(run=_stop)
    for command in (doctor, prune, store):
        command.add(commands, home)
    return parser


def _demo(options: argparse.Namespace) -> int:
    from mysticanvas.demo import run

    sheet = run(options.home, options.output)
    print(f"The pictures: {sheet}")
    return 0


def _stop(options: argparse.Namespace) -> int:
    from mysticanvas.settings import Settings

    home = Settings.load(home=options.home).home
    if store.stop(home, options.force):
        print(f"Stopped what ran for {home}.")
    else:
        print(f"Nothing runs for {home}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
