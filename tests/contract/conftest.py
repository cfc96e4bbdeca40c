"""Worker processes; whatever a test starts is ended with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_process import Worker


@pytest.fixture(scope="session")
def shared_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker(tmp_path_factory.mktemp("worker"))
    yield worker
    worker.end()


@pytest.fixture
def worker(shared_worker: Worker) -> Worker:
    """A worker that is ready; a test leaves it so."""
    shared_worker.wait_imported()
    return shared_worker


@pytest.fixture
def fresh_worker(tmp_path: Path) -> Iterator[Worker]:
    """A worker of the test's own, which may end it."""
    worker = Worker(tmp_path / "home")
    yield worker
    worker.end()
