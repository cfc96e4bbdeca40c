"""The worker processes, and another try for one that has failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Body, Depends

from mysticanvas import web
from mysticanvas.contracts.health import WorkerStatus
from mysticanvas.contracts.plugins import LLM_ENGINE
from mysticanvas.errors import InvalidRequest, NotFound
from mysticanvas.orchestrator.arbiter.language import LanguageModels
from mysticanvas.orchestrator.supervisor.worker import Worker


def routes(workers: Sequence[Worker], language: LanguageModels | None) -> APIRouter:
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
    def start(
        hung_up: Annotated[Callable[[], bool], Depends(web.hung_up)],
        kind: Annotated[str, Body()],
        preset: Annotated[str | None, Body()] = None,
    ) -> list[WorkerStatus]:
        """Start a worker that would otherwise be started by the first who needs it; with a preset,
        one of a language model, and have its model loaded. Who hangs up while there is no room for
        it has it not loaded."""
        chosen = _chosen(workers, kind)
        if preset is not None:
            _of_kind(language, kind).ensure(preset, hung_up)
        for worker in chosen:
            worker.want()
        return [worker.status for worker in chosen]

    return router


def _of_kind(language: LanguageModels | None, kind: str) -> LanguageModels:
    if language is None or kind != LLM_ENGINE:
        raise InvalidRequest(
            f"A worker of the kind {kind!r} loads models with the jobs that need them.",
            parameter="preset",
            allowed=f"a preset of a language model, with kind={LLM_ENGINE!r}",
        )
    return language


def _chosen(workers: Sequence[Worker], kind: str | None) -> list[Worker]:
    """Those of a kind, or all."""
    if chosen := [worker for worker in workers if kind in (None, worker.kind)]:
        return chosen
    known = ", ".join(sorted({worker.kind for worker in workers}))
    raise NotFound(f"There is no worker of the kind {kind!r}.", hint=f"There is: {known}.")
