import socket
from collections.abc import Callable

import pytest
from fastapi import FastAPI, Request, Response

from mysticanvas import errors
from mysticanvas.client.http import AnswerTimeout, ConnectionLost, HttpClient, Stopping
from mysticanvas.contracts.events import Event
from mysticanvas.contracts.problem import REQUEST_ID_HEADER

Serve = Callable[[FastAPI], str]
TOKEN = "the token"


def test_a_call_carries_token_request_id_query_and_body(app: FastAPI, serve: Serve) -> None:
    @app.post("/echo")
    async def echo(request: Request) -> dict[str, object]:
        return {
            "query": dict(request.query_params),
            "body": await request.json(),
            "request_id": request.headers[REQUEST_ID_HEADER],
            "extra": request.headers["Extra"],
        }

    client = HttpClient(serve(app), TOKEN)
    ask = {"query": {"a": "ä", "none": None}, "headers": {"Extra": "1"}}
    first = client.request("POST", "/echo", body=Event(epoch="e", type="hello"), **ask)
    second = client.request("POST", "/echo", body={"plain": True}, **ask)
    client.close()
    assert first["query"] == {"a": "ä"}
    assert first["body"] == {"epoch": "e", "type": "hello", "data": {}}
    assert second["body"] == {"plain": True}
    assert first["extra"] == "1"
    assert len({first["request_id"], second["request_id"]}) == 2


@pytest.mark.parametrize("code", sorted(errors.BY_CODE.keys() - {"orchestrator_unavailable"}))
def test_a_problem_is_raised_as_the_class_that_its_code_names(
    app: FastAPI, serve: Serve, code: str
) -> None:
    @app.get("/fail")
    def fail() -> None:
        raise errors.BY_CODE[code]("It failed.", hint="Do this.", parameter="width")

    client = HttpClient(serve(app), TOKEN)
    with pytest.raises(errors.MystiCanvasError) as raised:
        client.request("GET", "/fail")
    client.close()
    assert type(raised.value) is errors.BY_CODE[code]
    assert (raised.value.detail, raised.value.hint) == ("It failed.", "Do this.")
    assert raised.value.extra == {"parameter": "width"}
    assert raised.value.request_id


def test_an_orchestrator_that_lets_nobody_in_counts_as_lost(app: FastAPI, serve: Serve) -> None:
    @app.get("/fail")
    def fail() -> None:
        raise errors.OrchestratorUnavailable("It is stopping.")

    client = HttpClient(serve(app), TOKEN)
    with pytest.raises(Stopping, match="It is stopping"):
        client.request("GET", "/fail")
    client.close()


def test_a_wrong_token_is_permission_denied(app: FastAPI, serve: Serve) -> None:
    client = HttpClient(serve(app), "another")
    with pytest.raises(errors.PermissionDenied):
        client.request("GET", "/")
    client.close()


@pytest.mark.parametrize("kind", ["text/plain", "application/problem+json"])
def test_an_error_that_is_no_problem_document_is_still_ours(
    app: FastAPI, serve: Serve, kind: str
) -> None:
    @app.get("/fail")
    def fail() -> Response:
        return Response("oops", status_code=502, media_type=kind)

    client = HttpClient(serve(app), TOKEN)
    with pytest.raises(errors.MystiCanvasError, match="502") as raised:
        client.request("GET", "/fail")
    client.close()
    assert raised.value.request_id


def test_no_answer_is_a_lost_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = HttpClient(f"http://127.0.0.1:{port}", TOKEN)
    with pytest.raises(ConnectionLost, match="GET /x"):
        client.request("GET", "/x")
    client.close()
    with pytest.raises(ConnectionLost):
        client.request("GET", "/x")


def test_an_answer_that_takes_too_long_is_a_lost_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = HttpClient(f"http://127.0.0.1:{silent.getsockname()[1]}", TOKEN)
        with pytest.raises(AnswerTimeout, match=r"within 0\.05 s"):
            client.request("GET", "/x", answer_s=0.05)
        client.close()


def test_proxies_of_the_environment_are_not_used(
    app: FastAPI, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    @app.get("/here")
    def here() -> str:
        return "here"

    client = HttpClient(serve(app), TOKEN)
    assert client.request("GET", "/here") == "here"
    client.close()
