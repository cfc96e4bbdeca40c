"""Health, presets, unloading and shutting down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel

from mysticanvas.contracts.health import Health
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.errors import Conflict
from mysticanvas.orchestrator.events import Bus
from mysticanvas.orchestrator.queue.dispatcher import Dispatcher
from mysticanvas.store import Store


class Done(BaseModel):
    """Nothing to tell but that it is done."""

    done: bool = True


def routes(
    store: Store,
    bus: Bus,
    dispatcher: Dispatcher,
    health: Callable[[], Health],
    stop: Callable[[], None],
) -> APIRouter:
    router = APIRouter(tags=["system"])

    @router.get("/internal/health")
    async def get_health() -> Health:
        """How the orchestrator and its workers are."""
        return health()

    @router.get("/v1/presets")
    def presets() -> list[ImagePreset]:
        """The presets by name."""
        return store.presets.list()

    @router.post("/v1/unload")
    def unload(preset: Annotated[str | None, Body(embed=True)] = None) -> Done:
        """Give the device's memory back; with a preset, only if the device holds that one."""
        if preset is not None:
            store.presets.get(preset)
        dispatcher.unload(preset)
        return Done()

    @router.post("/v1/shutdown", status_code=202)
    def shutdown(
        force: Annotated[bool, Body()] = False, client: Annotated[str, Body()] = ""
    ) -> Done:
        """Stop orchestrator and workers; refused while others listen, unless forced."""
        others = [label for label in bus.clients if label != client]
        if others and not force:
            raise Conflict(
                f"{len(others)} other client(s) use this orchestrator: {', '.join(others)}.",
                hint="Close them first, or call shutdown(force=True).",
                clients=others,
            )
        stop()
        return Done()

    return router
