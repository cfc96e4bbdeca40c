"""The doctor: looks whether a home is in order, and mends what can be mended.

A check is a small function with a line in `CHECKS`; nothing else knows how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mysticanvas import logs
from mysticanvas.contracts.doctor import Diagnosis, Finding
from mysticanvas.errors import StoreError
from mysticanvas.orchestrator.doctor import files, house, surroundings
from mysticanvas.orchestrator.doctor.home import Check, Found, Home

__all__ = ["CHECKS", "SURROUNDINGS", "Home", "examine"]

_log = logs.get(__name__)

SURROUNDINGS: dict[str, Check] = {
    "python": surroundings.python,
    "packages": surroundings.packages,
    "loopback": surroundings.loopback,
    "starter model": surroundings.starter,
}
"""Those that need no home."""

CHECKS: dict[str, Check] = {
    **SURROUNDINGS,
    "permissions": house.permissions,
    "locks": surroundings.locks,
    "disk": house.disk,
    "store": house.store,
    "backups": house.backups,
    "plugins": house.plugins,
    "removals": files.removals,
    "deletions": files.deletions,
    "pictures without a file": files.pictures_without_a_file,
    "image files without a row": files.image_files_without_a_row,
    "unfinished files": files.unfinished_files,
    "thumbnail rows without a file": files.thumbnail_rows_without_a_file,
    "thumbnail files without a row": files.thumbnail_files_without_a_row,
    "thumbnails": files.thumbnails,
}
"""Name -> check, in the order in which they are made: a later one sees what an earlier mended."""


def examine(
    home: Home, repair: bool, checks: Mapping[str, Check] = MappingProxyType(CHECKS)
) -> Diagnosis:
    """Make checks, by default all.

    Args:
        repair: whether to mend what can be mended.
    """
    findings = []
    for name, check in checks.items():
        try:
            found = check(home, repair)
        except (OSError, StoreError) as error:
            _log.warning("check_failed", check=name, error=str(error))
            found = Found("problem", f"This could not be looked at: {error}")
        findings.append(Finding(check=name, **{**found._asdict(), "examples": [*found.examples]}))
    return Diagnosis(home=str(home.paths.root), findings=findings)
