"""What every server of ours does alike: whom it lets in, what it reads, how it says no."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from servers import Server
from websockets.exceptions import InvalidStatus

from mysticanvas import __version__, transport
from mysticanvas.contracts.base import PROTOCOL
from mysticanvas.contracts.health import Health, WorkerState
from mysticanvas.contracts.problem import MEDIA_TYPE, Problem
from mysticanvas.settings import MAX_BODY_BYTES

HEALTH = "/internal/health"
WITH_BODY = {"orchestrator": "/v1/jobs", "image": "/v1/load", "echo": "/v1/load", "llm": "/v1/load"}
"""A route of each kind that reads a body."""
DOCS = Path(__file__).parents[2] / "docs" / "openapi"


def reading(kind: str) -> list[tuple[str, str]]:
    """Method and path of all routes of a kind that read a body."""
    name = "orchestrator" if kind == "orchestrator" else "worker"
    paths = json.loads((DOCS / f"{name}.json").read_text())["paths"]
    return [
        (method.upper(), path)
        for path, methods in paths.items()
        for method, told in methods.items()
        if "requestBody" in told
    ]


def refusal(response: httpx.Response, status: int, code: str) -> Problem:
    """The problem that was answered, whose shape is the same everywhere."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    problem = Problem.model_validate_json(response.content)
    assert (problem.status, problem.code) == (status, code)
    assert problem.title
    assert problem.detail
    assert problem.request_id == response.headers["x-request-id"]
    return problem


def test_health_has_one_schema(http: httpx.Client, server: Server) -> None:
    process = psutil.Process(server.pid)
    # A worker grows while it imports.
    before = process.memory_info().rss / 2**20
    health = Health.model_validate_json(http.get(HEALTH).content)
    after = process.memory_info().rss / 2**20
    assert health.process == ("orchestrator" if server.kind == "orchestrator" else "worker")
    assert health.state in (WorkerState.STARTING, WorkerState.READY)
    assert (health.version, health.protocol, health.pid) == (__version__, PROTOCOL, server.pid)
    assert health.uptime_s > 0
    assert 0.5 * min(before, after) < health.memory_mib < 1.5 * max(before, after)


@pytest.mark.fault("no, a wrong or a non-ASCII token", "403")
@pytest.mark.parametrize(
    "authorization",
    [b"", b"Bearer", b"Bearer wrong", b"Basic dXNlcjpwYXNz", "Bearer tökén".encode(), b"\xff\xfe"],
)
@pytest.mark.parametrize(("method", "path"), [("GET", HEALTH), ("POST", "/v1/unload")])
def test_without_the_token_nothing_is_answered(
    server: Server, method: str, path: str, authorization: bytes
) -> None:
    with server.client() as stranger:
        del stranger.headers["Authorization"]
        given = {"Authorization": authorization} if authorization else {}
        response = stranger.request(method, path, headers=given)
    refusal(response, 403, "permission_denied")


@pytest.mark.fault("a token that is nearly right", "403")
def test_a_token_is_not_let_in_by_its_beginning(server: Server) -> None:
    for token in (server.token[:-1], f"{server.token}x", f"{server.token} x", server.token.upper()):
        with server.client(token) as stranger:
            refusal(stranger.get(HEALTH), 403, "permission_denied")


@pytest.mark.fault("a foreign Host", "403")
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", ""]
)
def test_a_request_for_another_host_is_refused(
    http: httpx.Client, server: Server, host: str
) -> None:
    port = urllib.parse.urlsplit(server.url).port
    response = http.get(HEALTH, headers={"Host": host.format(port=port)})
    refusal(response, 403, "permission_denied")


@pytest.mark.fault("a foreign Origin", "403")
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1"])
def test_a_browser_page_is_refused_even_with_the_token(http: httpx.Client, origin: str) -> None:
    refusal(http.get(HEALTH, headers={"Origin": origin}), 403, "permission_denied")


@pytest.mark.fault("a WebSocket with a foreign Host or Origin", "403")
@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}])
def test_so_is_one_that_asks_for_a_websocket(server: Server, headers: dict[str, str]) -> None:
    place = urllib.parse.urlsplit(server.url)
    with socket.create_connection((place.hostname or "", place.port or 0), 20) as raw:
        wanted = {
            "Host": place.netloc,
            "Authorization": f"Bearer {server.token}",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            **headers,
        }
        lines = [f"{name}: {value}" for name, value in wanted.items()]
        raw.sendall("\r\n".join(["GET /v1/events HTTP/1.1", *lines, "", ""]).encode())
        answer = http.client.HTTPResponse(raw)
        answer.begin()
        assert answer.status == 403
        assert Problem.model_validate_json(answer.read()).code == "permission_denied"


@pytest.mark.fault("two Host headers, of which one is foreign", "400")
def test_the_host_is_named_once(server: Server) -> None:
    place = urllib.parse.urlsplit(server.url)
    with socket.create_connection((place.hostname or "", place.port or 0), 20) as raw:
        lines = [f"Host: {host}" for host in ("evil.example", place.netloc)]
        lines += [f"Authorization: Bearer {server.token}", "", ""]
        raw.sendall("\r\n".join([f"GET {HEALTH} HTTP/1.1", *lines]).encode())
        answer = http.client.HTTPResponse(raw)
        answer.begin()
        assert answer.status == 400
        assert Problem.model_validate_json(answer.read()).code == "invalid_request"


@pytest.mark.fault("a WebSocket with a wrong token", "403")
def test_a_websocket_wants_the_token(server: Server) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        transport.websocket(server.url, "/v1/events", "wrong")


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; x=y"]
)
def test_a_body_has_to_be_json(http: httpx.Client, server: Server, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    response = http.post(WITH_BODY[server.kind], content=b"{}", headers=headers)
    assert refusal(response, 415, "invalid_request").extra["parameter"] == "Content-Type"


def test_json_may_name_its_encoding(http: httpx.Client, server: Server) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    response = http.post(WITH_BODY[server.kind], content=b"{}", headers=headers)
    refusal(response, 422, "invalid_request")


@pytest.mark.fault("a body of 50 MB", "413, and it is not kept")
@pytest.mark.parametrize("told", [True, False], ids=["its length is told", "in chunks"])
def test_a_body_of_50_mb_is_refused_and_not_kept(
    http: httpx.Client, server: Server, told: bool
) -> None:
    size = 50 << 20
    if server.kind != "orchestrator":
        # A call waits for the engine, whose import would be taken for what is kept.
        assert http.post("/v1/unload").status_code == 200
    process = psutil.Process(server.pid)
    before = process.memory_info().rss

    def chunks() -> Iterator[bytes]:
        for _ in range(size >> 16):
            yield b"x" * 65536

    headers = {"Content-Type": "application/json"}
    if told:
        headers["Content-Length"] = str(size)
    response = http.post(WITH_BODY[server.kind], content=chunks(), headers=headers)
    refusal(response, 413, "invalid_request")
    assert process.memory_info().rss - before < 20 << 20
    assert http.get(HEALTH).status_code == 200


def test_a_body_at_the_limit_is_read(http: httpx.Client, server: Server) -> None:
    headers = {"Content-Type": "application/json"}
    body = b'"' + b"x" * (MAX_BODY_BYTES - 2) + b'"'
    response = http.post(WITH_BODY[server.kind], content=body, headers=headers)
    refusal(response, 422, "invalid_request")
    response = http.post(WITH_BODY[server.kind], content=body + b" ", headers=headers)
    refusal(response, 413, "invalid_request")


@pytest.mark.fault("JSON that nests 100,000 deep", "422")
@pytest.mark.parametrize("deep", [b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000, b"[" * 65])
def test_json_that_nests_too_deep_is_refused(
    http: httpx.Client, server: Server, deep: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    response = http.post(WITH_BODY[server.kind], content=deep, headers=headers)
    assert "deep" in refusal(response, 422, "invalid_request").detail
    assert http.get(HEALTH).status_code == 200


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b'{"a": 1}x', b"1" * 5000, b'"\\ud800"', b"", b"null", b"NaN"]
)
def test_json_that_is_none_or_says_nothing_is_refused(
    http: httpx.Client, server: Server, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    response = http.post(WITH_BODY[server.kind], content=body, headers=headers)
    refusal(response, response.status_code, "invalid_request")
    assert response.status_code in (400, 422)


ELSEWISE = '{"preset": "\\ud800", "path": "/x"}'
"""What UTF-8 alone shows to be refused."""


@pytest.mark.fault("a body in another encoding, or half a character written out", "422")
@pytest.mark.parametrize(
    "body",
    [
        *(ELSEWISE.encode(name) for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32-be")),
        ("[" * 100_000 + "]" * 100_000).encode("utf-16-le"),
        b'{"preset": "\xed\xa0\x80", "path": "/\xed\xa0\x80"}',
        b'{"preset": "\0"}',
        b'{"preset": "\xff"}',
    ],
    ids=["utf-16", "utf-16-le", "utf-16-be", "utf-32-be", "deep", "surrogate", "nul", "byte"],
)
def test_a_body_is_utf_8_on_every_route(http: httpx.Client, server: Server, body: bytes) -> None:
    routes = reading(server.kind)
    assert ("POST", WITH_BODY[server.kind]) in routes
    for method, path in routes:
        response = http.request(
            method, path, content=body, headers={"Content-Type": "application/json"}
        )
        assert "UTF-8" in refusal(response, 422, "invalid_request").detail, path
    assert http.get(HEALTH).status_code == 200


def test_a_mark_of_the_byte_order_changes_nothing(http: httpx.Client, server: Server) -> None:
    headers = {"Content-Type": "application/json"}
    plain, marked = (
        http.post(WITH_BODY[server.kind], content=body, headers=headers)
        for body in (b"{}", "\ufeff{}".encode())
    )
    asked = refusal(plain, 422, "invalid_request")
    assert refusal(marked, 422, "invalid_request").detail == asked.detail


def test_what_is_not_there_is_a_problem(http: httpx.Client) -> None:
    response = http.get("/v1/nothing", headers={"X-Request-ID": "request-0123"})
    assert refusal(response, 404, "not_found").request_id == "request-0123"
    response = http.delete(HEALTH)
    refusal(response, 405, "invalid_request")
    assert response.headers["allow"] == "GET"


def test_so_is_a_websocket_that_is_not_there(server: Server) -> None:
    with pytest.raises(InvalidStatus) as refused:
        transport.websocket(server.url, "/v1/nothing", server.token)
    answer = refused.value.response
    headers, content = dict(answer.headers.raw_items()), bytes(answer.body or b"")
    refusal(httpx.Response(answer.status_code, headers=headers, content=content), 404, "not_found")


@pytest.mark.parametrize("given", ["short", "x" * 65, "bad id of mine", "../../etc/passwd"])
def test_a_request_id_that_is_none_is_replaced(http: httpx.Client, given: str) -> None:
    response = http.get("/v1/nothing", headers={"X-Request-ID": given})
    assert refusal(response, 404, "not_found").request_id != given
