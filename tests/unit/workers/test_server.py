"""The worker's HTTP face over a real socket, with an engine that the test steers."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

import httpx
import pytest
from gate import GatedEngine
from mysticanvas_echo import MODEL
from tasks import make_task

from mysticanvas import transport, web
from mysticanvas.contracts.health import Health
from mysticanvas.contracts.worker import MESSAGE, Failed, Finished, Message
from mysticanvas.workers.executor import EngineExecutor
from mysticanvas.workers.server import create_app

BODY = make_task(Path(MODEL)).model_dump_json()
HEADERS = {"Authorization": "Bearer the-token", "Content-Type": "application/json"}


class Served(NamedTuple):
    engine: GatedEngine
    http: httpx.Client

    def health(self) -> Health:
        return Health.model_validate(self.http.get("/internal/health").json())

    def settle(self) -> None:
        """Wait until the engine is free: a call does, if the one before was cancelled."""
        assert self.http.post("/v1/unload").status_code == 200


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    engine = GatedEngine(tmp_path)
    listener = transport.listen("tcp", Path())
    servers: list[web.Server] = []
    up = threading.Event()

    async def serve() -> None:
        executor = EngineExecutor()
        servers.append(web.Server(create_app("echo", executor, "the-token", listener.url)))
        executor.begin(lambda: engine)
        up.set()
        await servers[0].serve(sockets=[listener.socket])
        await executor.stop(5)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    up.wait()
    with httpx.Client(base_url=listener.url, headers=HEADERS, timeout=20) as http:
        yield Served(engine, http)
    engine.finish.set()
    servers[0].stop()
    thread.join()


def read(response: httpx.Response) -> list[Message]:
    return [MESSAGE.validate_json(line) for line in response.iter_lines()]


def test_a_line_is_sent_at_once(served: Served) -> None:
    with served.http.stream("POST", "/v1/generate", content=BODY) as response:
        assert response.headers["content-type"].startswith("application/x-ndjson")
        lines = response.iter_lines()
        first = MESSAGE.validate_json(next(lines))  # while the engine waits for us
        assert first.type == "progress"
        served.engine.finish.set()
        assert isinstance([MESSAGE.validate_json(line) for line in lines][-1], Finished)


def test_the_engine_is_free_when_the_last_line_comes(served: Served) -> None:
    served.engine.finish.set()
    for _ in range(20):
        with served.http.stream("POST", "/v1/generate", content=BODY) as response:
            assert read(response)[-1].type == "finished"
            assert served.health().state == "ready"


def test_leaving_is_noticed_while_nothing_is_sent(served: Served) -> None:
    with served.http.stream("POST", "/v1/generate", content=BODY) as response:
        next(response.iter_lines())
    served.settle()
    assert not served.engine.finish.is_set()
    assert served.health().last_error is None


def test_a_second_generate_is_a_conflict(served: Served) -> None:
    with served.http.stream("POST", "/v1/generate", content=BODY) as first:
        lines = first.iter_lines()  # kept, because letting go of it closes the stream
        next(lines)
        assert served.health().state == "busy"
        second = served.http.post("/v1/generate", content=BODY)
        assert second.status_code == 409
        assert second.headers["content-type"] == "application/problem+json"
        assert second.json()["code"] == "conflict"


def test_a_failure_is_the_last_line(served: Served) -> None:
    served.engine.failure = ZeroDivisionError("secret text")
    served.engine.finish.set()
    headers = {"X-Request-ID": "request-0123"}
    with served.http.stream("POST", "/v1/generate", content=BODY, headers=headers) as response:
        last = read(response)[-1]
    assert isinstance(last, Failed)
    assert (last.problem.code, last.problem.request_id) == ("internal_error", "request-0123")
    assert "secret" not in last.model_dump_json()
    assert served.health().last_error is not None


def test_a_body_that_is_no_task_is_refused_before_the_stream(served: Served) -> None:
    response = served.http.post("/v1/generate", content="{}")
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert response.json()["extra"]["parameter"] == "job_id"


def test_a_failed_load_is_a_problem(served: Served) -> None:
    body = {"model": {"path": "bad", "digest": "b"}}
    response = served.http.post("/v1/load", json=body)
    assert (response.status_code, response.json()["code"]) == (422, "model_file_error")
    body = {"model": {"path": MODEL, "digest": "g"}}
    assert served.http.post("/v1/load", json=body).json()["digest"] == "g"
    assert served.health().models == ["g"]
    assert Health.model_validate(served.http.post("/v1/unload").json()).models == []


def test_a_preview_switch_without_a_job_does_nothing(served: Served) -> None:
    response = served.http.put("/v1/previews", json={"enabled": True})
    assert (response.status_code, response.json()) == (200, {"enabled": True})


@pytest.mark.fault("a GPU that cannot be asked how it is", "the worker tells all else")
def test_health_is_told_without_a_device_that_fails(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: GatedEngine) -> NoReturn:
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(GatedEngine, "device_kind", "cuda", raising=False)
    monkeypatch.setattr(GatedEngine, "device_memory", property(fail), raising=False)
    health = served.health()
    assert (health.state, health.device_kind, health.device) == ("ready", "cuda", None)
