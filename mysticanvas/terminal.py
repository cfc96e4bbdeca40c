"""What may go to a terminal."""

from __future__ import annotations

from collections.abc import Sequence

MAX_LINES = 5
_MAX_CHARS = 300


def printable(text: str, kept: str = "\n\t") -> str:
    """Text from elsewhere without characters that steer a terminal.

    Args:
        kept: those that it may have all the same; none for what has to stay within its line.
    """
    return "".join(
        char if char.isprintable() or char in kept else f"\\x{ord(char):02x}" for char in text
    )


def last_lines(written: Sequence[str]) -> tuple[str, ...]:
    """The last lines of what a process wrote, each of them short and fit for a terminal."""
    lines = [printable(line.strip()) for line in written]
    return tuple(line[:_MAX_CHARS] for line in lines if line)[-MAX_LINES:]
