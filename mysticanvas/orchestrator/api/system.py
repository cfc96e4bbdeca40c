"""Health, unloading and shutting down."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel

from mysticanvas.contracts.health import Health
from mysticanvas.contracts.presets import Kind
from mysticanvas.errors import Conflict
from mysticanvas.orchestrator.arbiter.pins import Pins
from mysticanvas.orchestrator.events import Bus
from mysticanvas.store import Store

MAX_DRAIN_S = 3600.0


class Done(BaseModel):
    """Nothing to tell but that it is done."""

    done: bool = True


def routes(
    store: Store,
    bus: Bus,
    unloading: Mapping[Kind, Callable[[str | None], None]],
    pins: Pins,
    health: Callable[[], Health],
    stop: Callable[[float], None],
) -> APIRouter:
    router = APIRouter(tags=["system"])

    @router.get("/internal/health")
    async def get_health() -> Health:
        """How the orchestrator and its workers are."""
        return health()

    @router.post("/v1/unload")
    def unload(
        preset: Annotated[str | None, Body()] = None, kind: Annotated[Kind | None, Body()] = None
    ) -> Done:
        """Give the device's memory back; with a preset, only if the device holds that one, which
        may be one of each kind if no kind is given. What was pinned is so no longer."""
        if preset is not None:
            _require_preset(store, preset, kind)
        pins.clear(preset, kind)
        for each, unload in unloading.items():
            if kind in (None, each):
                unload(preset)
        return Done()

    @router.post("/v1/pin")
    def set_pinned(
        preset: Annotated[str, Body()],
        pinned: Annotated[bool, Body()] = True,
        kind: Annotated[Kind | None, Body()] = None,
    ) -> Done:
        """Have the model of a preset stay once it is loaded, or go when it is its turn; without a
        kind, those of every kind with that name."""
        _require_preset(store, preset, kind)
        pins.set(preset, pinned, kind)
        return Done()

    @router.post("/v1/shutdown", status_code=202)
    def shutdown(
        force: Annotated[bool, Body()] = False,
        client: Annotated[str, Body()] = "",
        drain_s: Annotated[float, Body(ge=0, le=MAX_DRAIN_S)] = 0.0,
    ) -> Done:
        """Stop orchestrator and workers; refused while others listen, unless forced. Jobs that run
        have `drain_s` seconds to end, and go back to the queue then; none is begun meanwhile."""
        others = [label for label in bus.clients if label != client]
        if others and not force:
            raise Conflict(
                f"{len(others)} other client(s) use this orchestrator: {', '.join(others)}.",
                hint="Close them first, or call shutdown(force=True).",
                clients=others,
            )
        threading.Thread(target=stop, args=(drain_s,), name="shutdown", daemon=True).start()
        return Done()

    return router


def _require_preset(store: Store, name: str, kind: Kind | None) -> None:
    if kind == "llm":
        store.llm_presets.get(name)
    elif kind == "image" or name not in {each.name for each in store.llm_presets.list()}:
        store.presets.get(name)
