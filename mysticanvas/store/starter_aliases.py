"""The aliases that ship with the package: `data/tags/aliases.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path

from mysticanvas.contracts.tags import normalized


def read(data_folder: Path) -> dict[str, str]:
    """Normalized alias -> normalized name of its tag.

    Args:
        data_folder: what ships with the package.
    """
    subjects = tomllib.loads((data_folder / "tags" / "aliases.toml").read_text("utf-8"))
    return {
        normalized(alias): normalized(tag)
        for tags in subjects.values()
        for tag, aliases in tags.items()
        for alias in aliases
    }
