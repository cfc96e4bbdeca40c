"""The orchestrator's HTTP by itself: refusals of each route, idempotency, event stream."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from http_client import client
from websockets.exceptions import InvalidStatus

from mysticanvas import Canvas, transport
from mysticanvas.contracts.problem import MEDIA_TYPE, Problem


@pytest.fixture
def runtime(canvas: Canvas, shared_home: Path) -> dict[str, str]:
    assert canvas.health().state in ("ready", "busy")
    return dict(json.loads((shared_home / "run" / "orchestrator.json").read_text()))


@pytest.fixture
def http(runtime: dict[str, str]) -> Iterator[httpx.Client]:
    with client(runtime["url"], runtime["token"]) as stranger:
        yield stranger


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nowhere", None, 404, "not_found"),
        ("GET", "/v1/jobs/0190", None, 404, "not_found"),
        ("GET", "/v1/images/..%2f..%2fetc", None, 404, "not_found"),
        ("GET", "/v1/images?limit=0", None, 422, "invalid_request"),
        ("GET", "/v1/images?cursor=zzz", None, 422, "invalid_request"),
        ("GET", "/v1/images?sort=best", None, 422, "invalid_request"),
        ("GET", "/v1/images?seed=-1", None, 422, "invalid_request"),
        ("GET", "/v1/images?job=1f0a9c2e", None, 422, "invalid_request"),
        ("GET", "/v1/images/count?since=yesterday", None, 422, "invalid_request"),
        ("GET", "/v1/images/details", None, 422, "invalid_request"),
        ("GET", "/v1/images/details?ids=1f0a9c2e", None, 422, "invalid_request"),
        ("PATCH", "/v1/images/1f0a9c2e", {"rating": 6}, 422, "invalid_request"),
        ("PATCH", "/v1/images/1f0a9c2e", {"tags": []}, 422, "invalid_request"),
        ("PATCH", "/v1/images/1f0a9c2e", {"rating": 5}, 404, "not_found"),
        ("DELETE", "/v1/jobs", None, 405, "invalid_request"),
        ("POST", "/v1/jobs", {}, 422, "invalid_request"),
        ("POST", "/v1/jobs", {"kind": "generate", "params": {"prompt": 1}}, 422, "invalid_request"),
        (
            "POST",
            "/v1/jobs",
            {"kind": "generate", "params": {"prompt": "x", "preset": "?"}},
            422,
            "invalid_request",
        ),
        (
            "POST",
            "/v1/jobs",
            {"kind": "generate", "params": {"prompt": "x"}, "after_crash": "retry"},
            422,
            "invalid_request",
        ),
        ("POST", "/v1/jobs", {"kind": "autotag"}, 422, "invalid_request"),
        ("POST", "/v1/jobs", {"kind": "import", "params": {"path": "/"}}, 422, "invalid_request"),
        ("POST", "/v1/unload", {"preset": "?"}, 404, "not_found"),
    ],
)
def test_every_refusal_has_the_same_shape(
    http: httpx.Client, method: str, path: str, body: object, status: int, code: str
) -> None:
    response = http.request(method, path, json=body, headers={"X-Request-ID": "request-42"})
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == MEDIA_TYPE
    assert response.headers["x-request-id"] == "request-42"
    assert response.json()["request_id"] == "request-42"
    assert response.json()["detail"]


def test_the_same_key_gives_the_same_job(http: httpx.Client, tiny_sd: Path) -> None:
    body = {
        "kind": "generate",
        "params": {"prompt": "x", "preset": str(tiny_sd), "num_inference_steps": 2},
    }
    key = {"Idempotency-Key": "key-1"}
    first = http.post("/v1/jobs", json=body, headers=key)
    second = http.post("/v1/jobs", json=body, headers=key)
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json()["id"] == second.json()["id"]


def test_a_job_says_what_becomes_of_it_after_a_crash(http: httpx.Client, tiny_sd: Path) -> None:
    body = {
        "kind": "generate",
        "params": {"prompt": "x", "preset": str(tiny_sd), "num_inference_steps": 2},
    }
    jobs = [http.post("/v1/jobs", json=body | more) for more in ({}, {"after_crash": "cancel"})]
    assert [job.json()["after_crash"] for job in jobs] == ["requeue", "cancel"]
    for job in jobs:
        stored = http.get(f"/v1/jobs/{job.json()['id']}").json()
        assert stored["after_crash"] == job.json()["after_crash"]


@pytest.mark.parametrize("kind", ["autotag", "import"])
def test_a_kind_that_nothing_carries_out_is_refused_by_name(http: httpx.Client, kind: str) -> None:
    problem = http.post("/v1/jobs", json={"kind": kind}).json()
    assert problem["detail"] == (
        f"kind='{kind}' is not allowed; allowed is a kind that this version carries out: "
        "backup, export, generate, index, pull, reproduce, thumbnails, weigh."
    )
    assert http.get("/v1/jobs", params={"kind": kind, "internal": True}).json()["total"] == 0


def test_the_api_describes_itself(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    assert {"/v1/jobs", "/v1/images", "/internal/health"} <= document["paths"].keys()


def test_the_event_stream_wants_the_token(runtime: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        transport.websocket(runtime["url"], "/v1/events", "wrong")


@pytest.mark.parametrize("query", ["after=soon", f"client={'x' * 201}"])
def test_the_event_stream_refuses_what_it_does_not_understand(
    runtime: dict[str, str], query: str
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        transport.websocket(runtime["url"], f"/v1/events?{query}", runtime["token"])
    answer = refused.value.response
    problem = Problem.model_validate_json(answer.body or b"")
    assert (problem.status, problem.code) == (answer.status_code, "invalid_request")
    assert problem.extra["parameter"] == query.partition("=")[0]
    assert problem.request_id == answer.headers["x-request-id"]


def test_events_are_numbered_and_can_be_replayed(
    canvas: Canvas, runtime: dict[str, str], tiny_sd: Path
) -> None:
    address = (runtime["url"], "/v1/events?client=test", runtime["token"])
    with transport.websocket(*address) as socket:
        hello = json.loads(socket.recv(timeout=60))
        assert hello["type"] == "hello"
        job = canvas.submit("x", preset=str(tiny_sd), num_inference_steps=2)
        seen = []
        ended = False
        while not ended:
            event = json.loads(socket.recv(timeout=60))
            if event["seq"] is not None:
                seen.append(event)
            data = event["data"]
            ended = data.get("id") == job.id and data.get("status") == "succeeded"
    seqs = [event["seq"] for event in seen]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    mine = [e["data"]["status"] for e in seen if e["type"] == "job" and e["data"]["id"] == job.id]
    assert mine == ["queued", "running", "succeeded"]
    replay = f"/v1/events?client=test&epoch={hello['epoch']}&after={seqs[0] - 1}"
    with transport.websocket(runtime["url"], replay, runtime["token"]) as socket:
        assert json.loads(socket.recv(timeout=60))["type"] == "hello"
        again = [json.loads(socket.recv(timeout=60)) for _ in seqs]
    assert [event["seq"] for event in again] == seqs


def test_what_a_listener_says_in_vain_does_not_end_its_stream(
    runtime: dict[str, str], http: httpx.Client
) -> None:
    with transport.websocket(runtime["url"], "/v1/events", runtime["token"]) as socket:
        assert json.loads(socket.recv(timeout=60))["type"] == "hello"
        for said in (
            "",
            "null",
            "[" * 100_000,
            '{"previews": "yes"}',
            b"\x00",
            '{"previews": true}',
        ):
            socket.send(said)
        http.post("/v1/queue/pause")
        http.post("/v1/queue/resume")
        # Jobs of the orchestrator's own may be told of in between.
        while json.loads(socket.recv(timeout=60))["type"] != "queue":
            pass
