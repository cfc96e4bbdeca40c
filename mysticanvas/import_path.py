"""Where a child finds this package, if an installation alone does not tell it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

NAME = "PYTHONPATH"


def needed(environ: Mapping[str, str], package: Path) -> dict[str, str]:
    """The variable for a child, if it is by that that we were found, as with the modules of a
    cluster; libraries may be found by any entry then. Relative ones mean nothing to a child.

    Otherwise none: a shared process must not take what one user's notebook has put in the way.
    """
    given = environ.get(NAME, "").split(os.pathsep)
    entries = [entry for entry in given if Path(entry).is_absolute()]
    home = os.path.realpath(package.parent)
    if home not in map(os.path.realpath, entries):
        return {}
    return {NAME: os.pathsep.join(entries)}
