"""Who has the device's memory, what jobs took of it, and how near predictions came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query

from mysticanvas.contracts.measurements import MAX_MEASUREMENTS, Accuracy, Measurement
from mysticanvas.contracts.vram import VramStatus
from mysticanvas.orchestrator.arbiter.feedback import Feedback


def routes(status: Callable[[], VramStatus], feedback: Feedback) -> APIRouter:
    router = APIRouter(tags=["vram"])

    @router.get("/v1/vram")
    def vram() -> VramStatus:
        """The device's memory, and what each worker has of it."""
        return status()

    @router.get("/v1/vram/history")
    def history(
        limit: Annotated[int, Query(ge=1, le=MAX_MEASUREMENTS)] = MAX_MEASUREMENTS,
    ) -> list[Measurement]:
        """The newest measurements, a phase of a job each, oldest first; the oldest run comes whole,
        even if that makes a few more."""
        return feedback.history(limit)

    @router.get("/v1/vram/accuracy")
    def accuracy() -> list[Accuracy]:
        """How near predictions came: first over all measurements, then by device and preset;
        empty if there is nothing to compare."""
        return feedback.accuracy()

    return router
