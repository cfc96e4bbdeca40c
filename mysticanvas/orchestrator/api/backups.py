"""Backups of the store."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter

from mysticanvas.contracts.backups import BackupRecord, BackupRequest
from mysticanvas.store import Store


def routes(store: Store) -> APIRouter:
    router = APIRouter(tags=["backups"])

    @router.post("/v1/backups", status_code=201)
    def save(request: BackupRequest) -> BackupRecord:
        """Copy the store into a new file, while it goes on."""
        return store.backups.save(Path(request.path))

    return router
