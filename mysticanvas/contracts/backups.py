"""Backups of the store."""

from __future__ import annotations

from datetime import datetime

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.paths import FilePath


class BackupRequest(Contract):
    """Where a backup is to go."""

    path: FilePath
    """An absolute path, in a folder that exists, where there is no file yet."""


class BackupRecord(Contract):
    """A backup that was verified."""

    path: str
    bytes: int
    images: int
    """Rows, those of deleted pictures included."""
    schema_version: int
    created_at: datetime
