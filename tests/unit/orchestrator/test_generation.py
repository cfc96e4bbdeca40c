"""What a run makes of the messages of its worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks import make_task

from mysticanvas.contracts.jobs import JobRecord, JobStatus
from mysticanvas.contracts.memory import LORAS, MemoryPart
from mysticanvas.contracts.recipe import Environment
from mysticanvas.contracts.worker import Finished, GenerateTask
from mysticanvas.orchestrator.queue.generation import Generation
from mysticanvas.store import StoredJob


def running(task: GenerateTask, bus: Any) -> Generation:
    record = JobRecord(
        id=task.job_id,
        kind="generate",
        status=JobStatus.RUNNING,
        project="default",
        priority="interactive",
        request_hash="",
        created_at=task.created_at,
    )
    return Generation(StoredJob(record, task, {}, 1, None), bus, lambda: False)


def test_what_the_worker_tells_of_the_pictures_is_for_the_user(bus: Any) -> None:
    run = running(make_task(Path("sd")), bus)
    assert run.notices == []
    run.finished = Finished(seconds={}, notices=["The prompt was cut."])
    assert run.notices == ["The prompt was cut."]


def test_what_its_model_weighs_is_known_without_what_was_put_on_for_the_job(bus: Any) -> None:
    task = make_task(Path("sd"))
    changes: dict[str, Any] = {
        "preset_revision": 3,
        "environment": Environment(device="cpu", dtype="float32", threads=1, versions={}),
    }
    recipe = task.recipe.model_copy(update=changes)
    run = running(task.model_copy(update={"recipe": recipe}), bus)
    held = {"weights.unet": 5.0, "weights.vae": 2.0, LORAS: 1.0, "reserved": 9.0}
    parts = [
        MemoryPart(name=name, mib=mib, known="exact", device="cpu") for name, mib in held.items()
    ]
    run.finished = Finished(seconds={}, memory_parts=parts)
    ran = run.ran()
    assert ran is not None
    assert (ran.weights, ran.model_weights, ran.revision) == (8 << 20, 7 << 20, 3)
