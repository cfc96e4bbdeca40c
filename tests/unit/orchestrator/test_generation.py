"""What a run makes of the messages of its worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks import make_task

from mysticanvas.contracts.jobs import JobRecord, JobStatus
from mysticanvas.contracts.worker import Finished
from mysticanvas.orchestrator.queue.generation import Generation
from mysticanvas.store import StoredJob


def test_what_the_worker_tells_of_the_pictures_is_for_the_user(bus: Any) -> None:
    task = make_task(Path("sd"))
    record = JobRecord(
        id=task.job_id,
        kind="generate",
        status=JobStatus.RUNNING,
        project="default",
        priority="interactive",
        request_hash="",
        created_at=task.created_at,
    )
    run = Generation(StoredJob(record, task, {}, 1, None), bus, lambda: False)
    assert run.notices == []
    run.finished = Finished(seconds={}, notices=["The prompt was cut."])
    assert run.notices == ["The prompt was cut."]
