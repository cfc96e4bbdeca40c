"""`/v1/queue`."""

from __future__ import annotations

from fastapi import APIRouter

from mysticanvas.contracts.health import QueueStatus
from mysticanvas.orchestrator.queue.transitions import Transitions


def routes(transitions: Transitions) -> APIRouter:
    router = APIRouter(prefix="/v1/queue", tags=["jobs"])

    @router.get("")
    async def status() -> QueueStatus:
        """How many jobs wait and run, and whether the queue is paused."""
        return transitions.status

    @router.post("/pause")
    def pause() -> QueueStatus:
        """Begin no job from now on; what runs goes on. Lasts until it is resumed."""
        return transitions.pause(True)

    @router.post("/resume")
    def resume() -> QueueStatus:
        """Begin jobs again."""
        return transitions.pause(False)

    return router
