"""Wrong usage of the command line, told with how it is right."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

_UNKNOWN = re.compile(r"invalid choice: '([^']*)'|unrecognized arguments: (\S+)")


class Parser(argparse.ArgumentParser):
    """A parser that tells what may have been meant by a word that it does not know. Each command's
    refuses such itself, with its own usage, and does not leave them to that of all commands."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[Any, list[str]]:
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options, unknown

    def error(self, message: str) -> NoReturn:
        super().error(f"{message}{_guess(message, self.format_usage())}")


def _guess(message: str, usage: str) -> str:
    """What may have been meant, as the end of a message; empty if nothing comes near."""
    import difflib

    unknown = _UNKNOWN.search(message)
    if unknown is None:
        return ""
    known = re.findall(r"[\w-]{3,}", usage + message.partition("choose from")[2])
    nearest = difflib.get_close_matches(unknown[1] or unknown[2], known, 1)
    return f"; did you mean {nearest[0]}?" if nearest else ""
