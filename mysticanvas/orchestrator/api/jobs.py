"""`/v1/jobs`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Header, Query, Request, Response

from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.jobs import (
    GenerateRequest,
    HostRequest,
    JobKind,
    JobPage,
    JobRecord,
    JobStatus,
    ReproduceRequest,
)
from mysticanvas.orchestrator.queue.intake import Intake
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.store import Store


def routes(store: Store, intake: Intake, transitions: Transitions) -> APIRouter:
    router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

    @router.post("", status_code=202, responses={200: {"model": JobRecord}})
    def submit(
        request: Request,
        response: Response,
        job: Annotated[
            GenerateRequest | ReproduceRequest | HostRequest, Body(discriminator="kind")
        ],
        idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
    ) -> JobRecord:
        """Queue a job. The same request with the same `Idempotency-Key` again gives the same job,
        whatever has become of it; another request with that key is refused."""
        key = idempotency_key or new_id()
        request_id = request.scope["request_id"]
        if isinstance(job, GenerateRequest):
            accepted = intake.generate(job, key, request_id)
        elif isinstance(job, ReproduceRequest):
            accepted = intake.reproduce(job, key, request_id)
        else:
            accepted = intake.host(job, key, request_id)
        if not accepted.created:
            response.status_code = 200
        return accepted.job

    @router.post("/cancel")
    def withdraw(idempotency_key: Annotated[str, Header(max_length=128)]) -> JobRecord | None:
        """Cancel the job that was submitted with this `Idempotency-Key`; null if there is none, and
        then none comes of a request with that key that is still on its way."""
        return intake.withdraw(idempotency_key)

    @router.get("")
    def page(
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        cursor: str | None = None,
        status: JobStatus | None = None,
        kind: JobKind | None = None,
        project: str | None = None,
        internal: bool = False,
    ) -> JobPage:
        """A page of jobs, newest first; with `internal`, those of the orchestrator too, which
        belong to no project."""
        found = store.jobs.page(limit, cursor, status, kind, project, internal)
        items = [transitions.shown(record) for record in found.items]
        return found.model_copy(update={"items": items})

    @router.get("/{job_id}")
    def get_job(job_id: str, project: str | None = None) -> JobRecord:
        """A job by its id, or by an unambiguous head or tail of it within a project."""
        return transitions.shown(store.jobs.find(job_id, project).record)

    @router.post("/{job_id}/cancel")
    def cancel(job_id: str) -> JobRecord:
        """Ask for the end of a job. A running one ends between two steps."""
        found = store.jobs.find(job_id)
        transitions.cancel(found.record.id)
        return store.jobs.get(found.record.id).record

    return router
