"""Who has the device's memory."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter

from mysticanvas.contracts.vram import VramStatus


def routes(status: Callable[[], VramStatus]) -> APIRouter:
    router = APIRouter(tags=["vram"])

    @router.get("/v1/vram")
    def vram() -> VramStatus:
        """The device's memory, and what each worker has of it."""
        return status()

    return router
