"""The worker processes, and another try for one that has failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Body

from mysticanvas.contracts.health import WorkerStatus
from mysticanvas.errors import NotFound
from mysticanvas.orchestrator.supervisor.worker import Worker


def routes(workers: Sequence[Worker]) -> APIRouter:
    router = APIRouter(tags=["workers"])

    @router.get("/v1/workers")
    async def statuses() -> list[WorkerStatus]:
        """The worker processes."""
        return [worker.status for worker in workers]

    @router.post("/v1/workers/reset")
    async def reset(kind: Annotated[str | None, Body(embed=True)] = None) -> list[WorkerStatus]:
        """Forget the failures of a kind of worker, or of all, and start those that are not
        there."""
        chosen = _chosen(workers, kind)
        for worker in chosen:
            worker.reset()
        return [worker.status for worker in chosen]

    @router.post("/v1/workers/start")
    async def start(kind: Annotated[str, Body(embed=True)]) -> list[WorkerStatus]:
        """Start a worker that would otherwise be started by the first who needs it."""
        chosen = _chosen(workers, kind)
        for worker in chosen:
            worker.want()
        return [worker.status for worker in chosen]

    return router


def _chosen(workers: Sequence[Worker], kind: str | None) -> list[Worker]:
    """Those of a kind, or all."""
    if chosen := [worker for worker in workers if kind in (None, worker.kind)]:
        return chosen
    known = ", ".join(sorted({worker.kind for worker in workers}))
    raise NotFound(f"There is no worker of the kind {kind!r}.", hint=f"There is: {known}.")
