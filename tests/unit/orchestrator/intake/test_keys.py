"""A key stands for one request: asked for again it is the same job, which the key can cancel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from makers import Maker
from mysticanvas_echo import make_model

from mysticanvas.contracts.jobs import GenerateRequest, HostRequest, JobStatus
from mysticanvas.contracts.params import parse
from mysticanvas.errors import InvalidRequest, JobCancelled
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.queue.intake import Intake
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.store import Store


def test_a_repeated_request_is_its_job_although_its_result_is_in_the_way(
    tmp_path: Path, intake: Intake
) -> None:
    request = HostRequest(kind="export", params={"path": str(tmp_path / "out")})
    first = intake.host(request, "key", request_id="")
    (tmp_path / "out").mkdir()
    with pytest.raises(InvalidRequest, match="something is there"):
        intake.host(request, "another", request_id="")
    assert intake.host(request, "key", request_id="").job.id == first.job.id


def test_a_key_stands_for_one_request(tmp_path: Path, store: Store, intake: Intake) -> None:
    params = parse(prompt="a circle", preset=make_model(tmp_path / "m"))
    generate = GenerateRequest(params=params)
    first = intake.generate(generate, "key", request_id="")
    assert intake.generate(generate, "key", request_id="").job.id == first.job.id
    export = HostRequest(kind="export", params={"path": str(tmp_path / "out")})
    for other in (
        lambda: intake.host(export, "key", request_id=""),
        lambda: intake.generate(generate.model_copy(update={"project": "x"}), "key", request_id=""),
    ):
        with pytest.raises(InvalidRequest, match="Idempotency-Key='key' is not allowed"):
            other()
    assert len(store.jobs.page(10).items) == 1


def test_a_key_stands_for_one_request_also_where_pictures_can_be_reused(
    tmp_path: Path, store: Store, intake: Intake
) -> None:
    """Its job has made them meanwhile; the answer was lost, so that it is asked for again."""
    params = parse(prompt="a circle", preset=make_model(tmp_path / "m"), seed=1, reuse=True)
    request = GenerateRequest(params=params)
    first = intake.generate(request, "key", request_id="")
    maker, claimed = Maker(), store.jobs.claim()
    assert claimed is not None
    assert claimed.task is not None
    made = maker.png(HomePaths.of(tmp_path), maker.image(first.job.id, claimed.task.recipe))
    assert store.jobs.succeed(first.job.id, claimed.record.attempts, [made]) is not None

    assert intake.generate(request, "another", request_id="").job.reused
    again = intake.generate(request, "key", request_id="")
    assert (again.created, again.job.id, again.job.reused) == (False, first.job.id, False)
    other = request.model_copy(update={"params": params.model_copy(update={"tags": ["new"]})})
    with pytest.raises(InvalidRequest, match="Idempotency-Key='key' is not allowed"):
        intake.generate(other, "key", request_id="")
    assert store.database.read("SELECT image_seq FROM image_tags") == []


def test_a_request_that_was_withdrawn_on_its_way_leaves_no_job(
    tmp_path: Path, store: Store, intake: Intake
) -> None:
    request = GenerateRequest(params=parse(prompt="x", preset=make_model(tmp_path / "m")))
    assert intake.withdraw("key") is None
    with pytest.raises(JobCancelled):
        intake.generate(request, "key", request_id="")
    assert store.jobs.page().items == []
    assert intake.generate(request, "another", request_id="").created


def test_a_request_that_is_withdrawn_while_it_is_stored_is_cancelled(
    tmp_path: Path,
    store: Store,
    transitions: Transitions,
    intake: Intake,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add = transitions.add

    def overtaken(*arguments: Any) -> Any:
        assert intake.withdraw("key") is None
        return add(*arguments)

    monkeypatch.setattr(transitions, "add", overtaken)
    request = GenerateRequest(params=parse(prompt="x", preset=make_model(tmp_path / "m")))
    job = intake.generate(request, "key", request_id="").job
    assert store.jobs.get(job.id).record.status is JobStatus.CANCELLED


def test_a_job_is_withdrawn_by_the_key_of_its_request(
    tmp_path: Path, store: Store, intake: Intake
) -> None:
    request = GenerateRequest(params=parse(prompt="x", preset=make_model(tmp_path / "m")))
    job = intake.generate(request, "key", request_id="").job
    cancelled = intake.withdraw("key")
    assert cancelled is not None
    assert (cancelled.id, cancelled.status) == (job.id, JobStatus.CANCELLED)
