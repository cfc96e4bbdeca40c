"""The tool."""

from __future__ import annotations


def echo(text: str) -> str:
    """The text, as it is."""
    return text
