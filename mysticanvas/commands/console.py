"""What commands print for people: colours where they help, tables, sizes and times."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from mysticanvas.terminal import printable as printable

_CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}


class Console:
    """Paints text, or leaves it as it is.

    Args:
        colour: whether to paint.
    """

    def __init__(self, colour: bool) -> None:
        self.colour = colour

    @classmethod
    def of(cls, stream: IO[str] | None = None, environ: Mapping[str, str] | None = None) -> Console:
        """That of a stream: with colours on a terminal, unless `NO_COLOR` is set."""
        stream = sys.stdout if stream is None else stream
        environ = os.environ if environ is None else environ
        plain = environ.get("NO_COLOR") or environ.get("TERM") == "dumb"
        return cls(stream.isatty() and not plain)

    def paint(self, text: str, *styles: str) -> str:
        """The text in these styles, fit for a terminal whoever it is from."""
        text = printable(text)
        if not (self.colour and styles and text):
            return text
        return f"\033[{';'.join(_CODES[style] for style in styles)}m{text}\033[0m"


def say(text: str) -> None:
    """Print what is not painted, such as the path of a file."""
    print(printable(text))


def complain(error: object) -> None:
    """Print on standard error why a command did not do what it was to."""
    print(f"mysticanvas: {printable(str(error))}", file=sys.stderr)


@contextlib.contextmanager
def explained(json: bool) -> Iterator[None]:
    """Have a script that asked for JSON find the error there as well, as HTTP would answer it."""
    from mysticanvas.errors import MystiCanvasError

    try:
        yield
    except MystiCanvasError as error:
        if json:
            from mysticanvas.contracts.problem import Problem

            print(Problem.of(error).model_dump_json(indent=2))
        raise


def table(rows: Sequence[Sequence[str]], gap: str = "  ") -> list[str]:
    """Rows as lines, their columns one below the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def size(count: float) -> str:
    """Bytes as people read them."""
    for unit, bound in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= bound:
            return f"{count / bound:,.1f} {unit}"
    return f"{count:,.0f} B"


def duration(seconds: float) -> str:
    """Seconds as people read them, in the two largest units."""
    whole = int(seconds)
    parts = [(whole // 86_400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min")]
    parts.append((whole % 60, "s"))
    first = next((index for index, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2])
