"""The plug-ins that are installed, before anything of them is imported."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import NamedTuple

from mysticanvas import __version__
from mysticanvas.plugins.hookspecs import GROUP


class Candidate(NamedTuple):
    """A plug-in to try."""

    name: str
    distribution: str
    version: str
    load: Callable[[], object]
    """Imports it."""


BUILTIN = Candidate(
    "builtin",
    "mysticanvas",
    __version__,
    lambda: importlib.import_module("mysticanvas.plugins.builtin"),
)


def installed() -> list[Candidate]:
    """Every entry point of our group, in an order that does not depend on the disk's."""
    found: dict[tuple[str, str], Candidate] = {}
    for distribution in metadata.distributions():
        if _may_have_ours(distribution):
            for candidate in _of(distribution):
                # The first on the path is the one that is imported.
                found.setdefault((candidate.distribution, candidate.name), candidate)
    return [found[key] for key in sorted(found)]


def _may_have_ours(distribution: metadata.Distribution) -> bool:
    # Reading the text first is twice as fast as having all entry points parsed, and a file
    # elsewhere that cannot be parsed, or not even read, is not our concern.
    try:
        return f"[{GROUP}]" in (distribution.read_text("entry_points.txt") or "")
    except (OSError, ValueError):
        return False


def _of(distribution: metadata.Distribution) -> Iterator[Candidate]:
    who = _named(distribution)
    try:
        points = distribution.entry_points.select(group=GROUP)
    except (TypeError, ValueError) as error:
        yield Candidate("?", *who, _failing(f"its entry_points.txt cannot be read: {error}"))
        return
    for point in points:
        yield Candidate(point.name, *who, point.load)


def _named(distribution: metadata.Distribution) -> tuple[str, str]:
    """Its name and version, as far as it says them."""
    try:
        named = distribution.metadata
    except (OSError, ValueError):
        return "unknown", "unknown"
    return named["Name"] or "unknown", named["Version"] or "unknown"


def _failing(reason: str) -> Callable[[], object]:
    def load() -> object:
        raise ImportError(reason)

    return load
