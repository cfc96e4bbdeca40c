"""The plug-ins."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter

from mysticanvas.contracts.plugins import PluginRecord


def routes(records: Sequence[PluginRecord]) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["system"])

    @router.get("/plugins")
    async def plugins() -> list[PluginRecord]:
        """The plug-ins as this process found them when it started."""
        return list(records)

    return router
