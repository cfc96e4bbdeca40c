"""Servers of every kind as processes; whatever a test starts is ended with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from mysticanvas_echo import make_model
from servers import Server
from support import processes_of
from tasks import make_task
from worker_process import TOKEN, Worker

from mysticanvas import Canvas
from mysticanvas.contracts.worker import GenerateTask

PAINTERS = ("image", "echo")
"""The engines that make pictures."""
ENGINES = (*PAINTERS, "llm")
"""The engines of which every worker is one."""


@pytest.fixture(scope="session")
def worker_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Worker]]:
    """A worker process by its engine, started when it is first asked for."""
    running: dict[str, Worker] = {}

    def get(engine: str) -> Worker:
        if engine not in running:
            running[engine] = Worker(tmp_path_factory.mktemp("worker"), engine)
        return running[engine]

    yield get
    for worker in running.values():
        worker.end()


@pytest.fixture(scope="session")
def orchestrator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An orchestrator with a home of its own."""
    home = tmp_path_factory.mktemp("orchestrator") / "home"
    with Canvas(home=home) as canvas:
        runtime = json.loads((home / "run" / "orchestrator.json").read_text())
        yield Server("orchestrator", runtime["url"], runtime["token"], runtime["pid"])
        canvas.shutdown(force=True)
    for process in processes_of(home):
        process.kill()


@pytest.fixture(scope="session", params=["orchestrator", *ENGINES])
def server(request: pytest.FixtureRequest) -> Server:
    """A server of each kind: the orchestrator, and a worker of every engine."""
    if request.param == "orchestrator":
        found: Server = request.getfixturevalue("orchestrator")
        return found
    worker: Worker = request.getfixturevalue("worker_of")(request.param)
    return Server(request.param, worker.url, TOKEN, worker.pid)


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    """A client of such a server, with the token."""
    with server.client() as client:
        yield client


@pytest.fixture(params=ENGINES)
def any_worker(request: pytest.FixtureRequest, worker_of: Callable[[str], Worker]) -> Worker:
    """A worker of every engine that is ready; a test leaves it so."""
    worker = worker_of(request.param)
    worker.wait_imported()
    return worker


@pytest.fixture(params=PAINTERS)
def any_painter(request: pytest.FixtureRequest, worker_of: Callable[[str], Worker]) -> Worker:
    """A worker of every engine that makes pictures; a test leaves it ready."""
    worker = worker_of(request.param)
    worker.wait_imported()
    return worker


@pytest.fixture
def llm_worker(worker_of: Callable[[str], Worker]) -> Iterator[Worker]:
    """A worker of language models that is ready and holds none; a test leaves it so."""
    worker = worker_of("llm")
    worker.wait_imported()
    yield worker
    worker.wait_imported()


@pytest.fixture
def long_task(tiny_sd: Path, tmp_path: Path) -> Callable[[Worker], GenerateTask]:
    """A job of many seconds for a worker, for tests that end it."""

    def for_worker(worker: Worker) -> GenerateTask:
        slow = worker.engine == "echo" and make_model(tmp_path / "slow", seconds_per_step=0.1)
        return make_task(Path(slow or tiny_sd), num_inference_steps=900)

    return for_worker


@pytest.fixture
def worker(worker_of: Callable[[str], Worker]) -> Worker:
    """An image worker that is ready; a test leaves it so."""
    worker = worker_of("image")
    worker.wait_imported()
    return worker


@pytest.fixture
def fresh_worker(tmp_path: Path) -> Iterator[Worker]:
    """An image worker of the test's own, which may end it."""
    worker = Worker(tmp_path / "home")
    yield worker
    worker.end()


@pytest.fixture(params=ENGINES)
def any_fresh_worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Worker]:
    """A worker of every engine, of the test's own, which may end it."""
    worker = Worker(tmp_path / "home", request.param)
    yield worker
    worker.end()


@pytest.fixture(params=PAINTERS)
def any_fresh_painter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Worker]:
    """A worker of every engine that makes pictures, of the test's own, which may end it."""
    worker = Worker(tmp_path / "home", request.param)
    yield worker
    worker.end()
