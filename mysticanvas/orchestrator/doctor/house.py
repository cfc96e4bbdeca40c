"""Checks of the home itself and what runs in it: folders, disk, store, backups, plug-ins."""

from __future__ import annotations

import os
import shutil
import stat
import time
from pathlib import Path

from mysticanvas.orchestrator.doctor.home import NO_STORE, REPAIR, Found, Home, some

BACKUP_DAYS = 7
_MIB = 1 << 20
_DAY_S = 86_400
_MODE = 0o700


def permissions(home: Home, repair: bool) -> Found:
    """Every folder is there, can be written to, and is nobody else's to read."""
    paths = home.paths
    bad = [folder for folder in paths.folders if not _private(folder)]
    if not bad:
        return Found("ok", "The folders are there, and private.")
    if repair:
        for folder in bad:
            folder.mkdir(mode=_MODE, parents=True, exist_ok=True)
            folder.chmod(_MODE)
        if all(map(_private, bad)):
            return Found("repaired", "The folders are private now.", examples=_texts(bad))
    message = "Folders are missing, not writable, or open to others."
    return Found("problem", message, REPAIR, _texts(bad))


def disk(home: Home, _repair: bool) -> Found:
    """There is room for more pictures, on the disk and within the quota."""
    settings = home.settings
    free = shutil.disk_usage(home.paths.root).free // _MIB
    used = 0 if home.store is None else home.store.files.usage() // _MIB
    quota = settings.disk_quota_mib
    said = f"The pictures take {used:,} MiB" + (f" of {quota:,}" if quota else "")
    said = f"{said}; {free:,} MiB are free on the disk."
    if free < settings.min_free_mib:
        return Found("problem", said, f"A job needs {settings.min_free_mib:,} MiB: free some.")
    if quota is not None and used >= quota:
        return Found("problem", said, "`mysticanvas prune --help` says how to make room.")
    return Found("ok", said)


def store(home: Home, _repair: bool) -> Found:
    """The store can be opened."""
    if home.store is not None:
        return Found("ok", f"It is open, with {home.store.images.count():,} pictures.")
    if home.store_error:
        return Found("problem", home.store_error)
    return Found("ok", "There is none yet; the next start makes one, from image files if need be.")


def backups(home: Home, _repair: bool) -> Found:
    """There is a backup, and it is not old, unless nothing was changed since."""
    if home.store is None or not home.store.files.last_seq():
        return NO_STORE if home.store is None else Found("ok", "There is nothing to back up yet.")
    # Logs that a crash left and databases that were put aside lie in the same folder.
    made = [path.stat().st_mtime for path in home.paths.backups.glob("daily-*.duckdb")]
    hint = "`mysticanvas backup FILE` makes one."
    if not made:
        return Found("warning", "There is no backup.", hint)
    days = (time.time() - max(made)) / _DAY_S
    said = f"The newest backup is {days:.1f} days old."
    if days <= BACKUP_DAYS:
        return Found("ok", said)
    if not home.store.backups.behind():
        return Found("ok", f"{said} Nothing was changed since.")
    return Found("warning", said, hint)


def plugins(home: Home, _repair: bool) -> Found:
    """Every plug-in that is wanted could be loaded."""
    loaded = [record.name for record in home.plugins if record.state == "loaded"]
    skipped = [record for record in home.plugins if record.state == "skipped"]
    if not skipped:
        return Found("ok", f"{len(loaded)} loaded: {', '.join(loaded)}.")
    reasons = [
        f"{record.name} ({record.distribution} {record.version}): {record.reason}"
        for record in skipped
    ]
    hint = "Update or uninstall it, or set MYSTICANVAS_PLUGINS=-NAME."
    return Found("warning", f"{len(skipped)} of the plug-ins do not work.", hint, some(reasons))


def _private(folder: Path) -> bool:
    try:
        status = folder.stat()
    except OSError:
        return False
    private = stat.S_IMODE(status.st_mode) & 0o077 == 0
    return private and stat.S_ISDIR(status.st_mode) and os.access(folder, os.W_OK | os.X_OK)


def _texts(folders: list[Path]) -> list[str]:
    return some([str(folder) for folder in folders])
