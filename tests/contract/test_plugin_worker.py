"""A worker whose engine a plug-in brings: the same shell, and the same answers as one of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mysticanvas_echo import MODEL, make_model
from tasks import make_task
from worker_process import Worker

from mysticanvas.contracts.health import WorkerState
from mysticanvas.contracts.worker import Finished, Made, Previewed, Progressed


@pytest.fixture(scope="module")
def echo_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker(tmp_path_factory.mktemp("worker"), "echo")
    worker.wait_imported()
    yield worker
    worker.end()


def test_it_makes_a_picture_without_a_model_library(echo_worker: Worker) -> None:
    messages = echo_worker.generate(make_task(Path(MODEL)))
    assert isinstance(messages[-2], Made)
    assert isinstance(messages[-1], Finished)
    assert messages[-2].file is not None
    assert (echo_worker.home / messages[-2].file.path).is_file()
    health = echo_worker.health()
    assert (health.kind, health.state) == ("echo", WorkerState.READY)
    assert health.memory_mib < 150  # torch alone takes more


def test_it_previews_and_is_cancelled_between_steps(echo_worker: Worker, tmp_path: Path) -> None:
    files = echo_worker.files()
    slow = make_model(tmp_path / "slow", seconds_per_step=0.01)
    task = make_task(Path(slow), num_inference_steps=1000, task={"previews": True})
    with echo_worker.stream(task) as messages:
        kinds = {type(next(messages)) for _ in range(8)}
    assert kinds == {Progressed, Previewed}
    assert isinstance(echo_worker.generate(make_task(Path(MODEL)))[-1], Finished)
    assert len(echo_worker.files() - files) == 1


def test_a_kind_that_no_plugin_brings_is_told_by_health(tmp_path: Path) -> None:
    worker = Worker(tmp_path / "home", "nothing")
    try:
        assert worker.http.post("/v1/unload").status_code == 422
        health = worker.health()
        assert health.state is WorkerState.FAILED
        assert health.last_error is not None
        assert "No plug-in brings engine 'nothing'" in health.last_error.detail
    finally:
        worker.end()
