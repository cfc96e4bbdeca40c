"""What may go to a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Text from elsewhere without characters that steer a terminal."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else f"\\x{ord(char):02x}" for char in text
    )
