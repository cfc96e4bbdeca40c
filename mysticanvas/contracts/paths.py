"""Paths in requests and answers: text that can be the name of a file at all."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any

from pydantic import AfterValidator

MAX_PATH_BYTES, MAX_NAME_BYTES = 4095, 255
"""What Linux and macOS take, as a whole and between two slashes."""


def text(value: Any) -> Any:
    """A path object as text that is a path even where a name or a hub id could stand; anything else
    as it is."""
    if not isinstance(value, PurePath):
        return value
    written = str(value)
    return written if value.is_absolute() or written.startswith("~") else f"./{written}"


def is_text(path: PurePath) -> bool:
    """Whether a path can be told and stored; names on a disk are bytes, which may be no UTF-8."""
    return shown(path) == str(path)


def shown(path: PurePath) -> str:
    """A path for people, with `\\udcff` for a byte 0xff that is no UTF-8."""
    return str(path).encode(errors="backslashreplace").decode()


def _possible(path: str) -> str:
    if "\0" in path:
        raise ValueError("a path without the character NUL")
    if len(path.encode(errors="replace")) > MAX_PATH_BYTES:
        raise ValueError(f"a path of at most {MAX_PATH_BYTES} bytes")
    if any(len(name.encode(errors="replace")) > MAX_NAME_BYTES for name in path.split("/")):
        raise ValueError(f"a path whose names have at most {MAX_NAME_BYTES} bytes each")
    return path


FilePath = Annotated[str, AfterValidator(_possible)]
"""A path that the system can be asked about; whether it is allowed is for others to say."""
