import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

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
            "query": request.query_params.multi_items(),
            "body": await request.json(),
            "request_id": request.headers[REQUEST_ID_HEADER],
            "extra": request.headers["Extra"],
        }

    client = HttpClient(serve(app), TOKEN)
    query = {"a": "ä &=?", "none": None, "yes": True, "several": ["x", "y"], "no": []}
    ask = {"query": query, "headers": {"Extra": "1"}}
    bodies = Event(epoch="e", type="hello"), {"plain": True}
    first, second = (
        json.loads(client.request("POST", "/echo", body=body, **ask)) for body in bodies
    )
    client.close()
    assert first["query"] == [
        ["a", "ä &=?"], ["yes", "true"], ["several", "x"], ["several", "y"], ["no", ""],
    ]  # fmt: skip
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
    assert client.request("GET", "/here") == b'"here"'
    client.close()


def test_a_path_may_hold_anything(app: FastAPI, serve: Serve) -> None:
    @app.get("/at/{place}")
    def at(place: str) -> str:
        return place

    client = HttpClient(serve(app), TOKEN)
    assert json.loads(client.request("GET", "/at/a b?ä%20#")) == "a b?ä%20#"
    client.close()


def test_calls_share_a_connection_and_those_at_the_same_time_do_not(
    app: FastAPI, serve: Serve
) -> None:
    together = threading.Barrier(2)
    looks: list[None] = []

    @app.get("/one")
    def one() -> None: ...

    @app.get("/both")
    def both() -> None:
        together.wait(20)

    def look() -> bool:
        looks.append(None)
        return True

    client = HttpClient(serve(app), TOKEN, look)
    for _ in range(3):
        client.request("GET", "/one")
    assert len(looks) == 1
    threads = [threading.Thread(target=client.request, args=("GET", "/both")) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    client.request("GET", "/one")
    client.close()
    assert len(looks) == 2


class Reticent:
    """Answers once on each connection."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(20)
        for each in (self._listener, *self.connections):
            each.close()


@pytest.mark.parametrize(
    "what_follows",
    [socket.socket.close, lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nmore")],
    ids=["its end", "more than was asked for"],
)
def test_a_connection_on_which_something_came_unasked_is_not_used_again(
    what_follows: Callable[[socket.socket], None],
) -> None:
    server = Reticent()
    client = HttpClient(server.url, TOKEN)
    for number in (1, 2):
        assert client.request("GET", "/", answer_s=20) == b"{}"
        assert len(server.connections) == number
        what_follows(server.connections[-1])
    client.close()
    server.close()


def test_what_came_too_late_is_not_the_answer_to_the_next_call(app: FastAPI, serve: Serve) -> None:
    late = threading.Event()

    @app.get("/late")
    def wait() -> str:
        late.wait(20)
        return "late"

    @app.get("/next")
    def following() -> str:
        return "next"

    client = HttpClient(serve(app), TOKEN)
    with pytest.raises(AnswerTimeout):
        client.request("GET", "/late", answer_s=0.05)
    late.set()
    assert client.request("GET", "/next") == b'"next"'
    client.close()


@pytest.mark.parametrize("mib", [1, 16])
def test_a_body_that_is_too_large_is_refused_whether_or_not_all_of_it_was_sent(
    app: FastAPI, serve: Serve, mib: int
) -> None:
    client = HttpClient(serve(app), TOKEN)
    with pytest.raises(errors.InvalidRequest, match="too large"):
        client.request("POST", "/x", body={"text": "x" * (mib << 20)}, answer_s=20)
    client.close()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_does_not_have_is_not_sent_as_another(value: float) -> None:
    client = HttpClient("http://127.0.0.1:9", TOKEN)
    with pytest.raises(ValueError, match="JSON"):
        client.request("POST", "/x", body={"value": value})


@pytest.mark.parametrize("sent", ["query", "body"])
def test_text_that_is_no_unicode_is_refused_by_the_name_of_its_member(sent: str) -> None:
    client = HttpClient("http://127.0.0.1:9", TOKEN)
    wrong = {"query": "\ud800", "body": ["c", {"d": "\ud800"}]}[sent]
    given: dict[str, Any] = {sent: {"a": "ä", "b": wrong}}
    with pytest.raises(errors.InvalidRequest, match="Unicode") as refused:
        client.request("POST", "/x", **given)
    assert refused.value.parameter == "b"


def test_an_address_may_have_a_path(app: FastAPI, serve: Serve) -> None:
    @app.get("/behind/a/proxy")
    def here() -> str:
        return "here"

    url = serve(app)
    if url.startswith("http://"):
        client = HttpClient(f"{url}/behind", TOKEN)
        assert client.request("GET", "/a/proxy") == b'"here"'
        client.close()


def test_a_kernel_that_calls_does_without_httpx() -> None:
    program = (
        "import sys, mysticanvas.client.api\n"
        "assert not {'httpx', 'rich', 'click'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_whoever_waits_for_an_answer_is_told_so_until_it_comes(app: FastAPI, serve: Serve) -> None:
    waited = threading.Event()

    @app.get("/slow")
    def slow() -> int:
        waited.wait(10)
        return 7

    client = HttpClient(serve(app), TOKEN)
    assert client.request("GET", "/slow", waiting=waited.set) == b"7"
    assert waited.is_set()
    waited.clear()
    with pytest.raises(AnswerTimeout, match=r"within 0\.2 s"):
        client.request("GET", "/slow", answer_s=0.2, waiting=lambda: None)
    waited.set()
    client.close()
