"""`/v1/jobs`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Header, Query, Request, Response

from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.jobs import (
    GenerateRequest,
    JobRecord,
    JobStatus,
    ReproduceRequest,
)
from mysticanvas.orchestrator.events import Bus
from mysticanvas.orchestrator.queue.dispatcher import Dispatcher
from mysticanvas.orchestrator.queue.intake import Intake
from mysticanvas.store import Store


def routes(store: Store, bus: Bus, intake: Intake, dispatcher: Dispatcher) -> APIRouter:
    router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

    @router.post("", status_code=202)
    def submit(
        request: Request,
        response: Response,
        job: Annotated[GenerateRequest | ReproduceRequest, Body(discriminator="kind")],
        idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
    ) -> JobRecord:
        """Queue a job. The same `Idempotency-Key` again gives the same job."""
        key = idempotency_key or new_id()
        request_id = request.scope["request_id"]
        if isinstance(job, GenerateRequest):
            accepted = intake.generate(job, key, request_id)
        else:
            accepted = intake.reproduce(job, key, request_id)
        if not accepted.created:
            response.status_code = 200
            return accepted.job
        bus.publish("job", accepted.job.model_dump(mode="json"))
        dispatcher.notify()
        return accepted.job

    @router.get("")
    def list_jobs(
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        status: JobStatus | None = None,
        project: str | None = None,
    ) -> list[JobRecord]:
        """Jobs, newest first."""
        return [stored.record for stored in store.jobs.list(limit, status, project)]

    @router.get("/{job_id}")
    def get_job(job_id: str) -> JobRecord:
        """A job by its id, or by an unambiguous head or tail of it."""
        record = store.jobs.find(job_id).record
        if record.status is JobStatus.RUNNING:
            return record.model_copy(update={"progress": dispatcher.progress(record.id)})
        if record.status is JobStatus.QUEUED:
            return record.model_copy(update={"position": store.jobs.position(record.id)})
        return record

    @router.post("/{job_id}/cancel")
    def cancel(job_id: str) -> JobRecord:
        """Ask for the end of a job. A running one ends between two steps."""
        found = store.jobs.find(job_id)
        dispatcher.cancel(found.record.id)
        return store.jobs.get(found.record.id).record

    return router
