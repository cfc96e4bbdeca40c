"""Names and paths that lead elsewhere, on every route that takes one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from servers import Server
from worker_process import Worker

from mysticanvas.contracts.problem import MEDIA_TYPE

DOCUMENT = json.loads(
    (Path(__file__).parents[2] / "docs" / "openapi" / "orchestrator.json").read_text()
)
ROUTES = [
    (method.upper(), path)
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
    if "{" in path
]
NAMES = [
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "/etc/passwd",
    "....//....//etc/passwd",
    "..\\..\\etc\\passwd",
    "\0",
    "ab\0cd",
    "x" * 5000,
    "\N{RIGHT-TO-LEFT OVERRIDE}",
    "*",
    "' OR 1=1 --",
]
SECRET = "unmistakable"


@pytest.fixture
def http(orchestrator: Server) -> Iterator[httpx.Client]:
    with orchestrator.client() as client:
        assert client.post("/v1/queue/pause").is_success
        yield client


def is_refused(response: httpx.Response) -> bool:
    """Whether it is a problem that the caller can do something about, and nothing else is told."""
    assert response.headers["content-type"] == MEDIA_TYPE, response.text
    assert "root:" not in response.text
    assert SECRET not in response.text
    return 400 <= response.status_code < 500


@pytest.mark.fault("a path where a name belongs", "refused")
@pytest.mark.parametrize("name", NAMES, ids=repr)
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_name_that_is_a_path_finds_nothing(
    http: httpx.Client, method: str, path: str, name: str
) -> None:
    [parameter] = [part for part in path.split("/") if part.startswith("{")]
    target = path.replace(parameter, quote(name, safe=""))
    body = {"PUT": {"names": ["x"]}, "PATCH": {"rating": 1}}.get(method)
    query = {"name": "x"} if path.endswith("/tags") and method == "DELETE" else None
    assert is_refused(http.request(method, target, json=body, params=query))


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """Paths at which nothing may be written."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text(SECRET)
    (tmp_path / "dangling").symlink_to(tmp_path / "target")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    return {
        "relative": "backup.duckdb",
        "upwards": "../../backup.duckdb",
        "empty": "",
        "nul": f"{tmp_path}/a\0b",
        "long": f"{tmp_path}/{'x' * 5000}",
        "surrogate": f"{tmp_path}/\ud800",
        "a folder": str(tmp_path / "folder"),
        "a file": str(tmp_path / "file"),
        "below a file": str(tmp_path / "file" / "x"),
        "a dangling link": str(tmp_path / "dangling"),
        "a link": str(tmp_path / "link"),
        "nowhere": str(tmp_path / "nowhere" / "x"),
    }


WRITING: dict[str, Any] = {
    "backup": ("/v1/backups", lambda path: {"path": path}),
    "export": ("/v1/jobs", lambda path: {"kind": "export", "params": {"path": path}}),
}


@pytest.mark.fault("a path or symlink that leads elsewhere", "refused; nothing is written")
@pytest.mark.parametrize(
    "place",
    [
        "relative",
        "upwards",
        "empty",
        "nul",
        "long",
        "surrogate",
        "a folder",
        "a file",
        "below a file",
        "a dangling link",
        "a link",
        "nowhere",
    ],
)
@pytest.mark.parametrize("what", ["backup", "export"])
def test_nothing_is_written_where_it_does_not_belong(
    http: httpx.Client, tmp_path: Path, places: dict[str, str], what: str, place: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    route, body = WRITING[what]
    text = json.dumps(body(places[place]))
    response = http.post(route, content=text, headers={"Content-Type": "application/json"})
    assert is_refused(response)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == SECRET


@pytest.mark.fault("a preset that leads elsewhere", "refused")
@pytest.mark.parametrize(
    "preset", ["../../etc", "/etc", "/etc/passwd", "a\0b", "/" + "x" * 5000, "~nobody", "\ud800"]
)
def test_a_preset_that_is_no_model_is_refused(http: httpx.Client, preset: str) -> None:
    body = {"kind": "generate", "params": {"prompt": "x", "preset": preset}}
    headers = {"Content-Type": "application/json"}
    assert is_refused(http.post("/v1/jobs", content=json.dumps(body), headers=headers))
    unload = http.post("/v1/unload", content=json.dumps({"preset": preset}), headers=headers)
    assert is_refused(unload)


HOSTILE = ["../../etc", "/etc", "/etc/passwd", "a\0b", "/" + "x" * 5000, "~nobody", "\ud800", ""]
NAMING: dict[str, Any] = {
    "pin": ("POST", "/v1/pin", lambda name: {"preset": name}),
    "default": ("PUT", "/v1/presets/default", lambda name: {"name": name}),
    "worker": ("POST", "/v1/workers/start", lambda name: {"kind": name}),
    "language model": ("POST", "/v1/workers/start", lambda name: {"kind": "llm", "preset": name}),
    "reset": ("POST", "/v1/workers/reset", lambda name: {"kind": name}),
    "plan": (
        "POST",
        "/v1/plan",
        lambda name: {"kind": "generate", "params": {"prompt": "x", "preset": name}},
    ),
}


def sent(http: httpx.Client, method: str, route: str, body: object) -> httpx.Response:
    headers = {"Content-Type": "application/json"}
    return http.request(method, route, content=json.dumps(body), headers=headers)


@pytest.mark.fault("a path where a preset or a worker belongs", "refused")
@pytest.mark.parametrize("name", HOSTILE, ids=repr)
@pytest.mark.parametrize("what", NAMING)
def test_a_name_in_a_body_leads_nowhere(http: httpx.Client, what: str, name: str) -> None:
    method, route, body = NAMING[what]
    assert is_refused(sent(http, method, route, body(name)))


@pytest.mark.fault("a folder of models that is none", "refused")
@pytest.mark.parametrize("place", ["relative", "upwards", "empty", "nul", "long", "surrogate"])
def test_a_folder_of_models_is_a_path_that_is_whole(
    http: httpx.Client, places: dict[str, str], place: str
) -> None:
    assert is_refused(sent(http, "POST", "/v1/models/folders", {"path": places[place]}))


@pytest.mark.fault("a model that leads elsewhere, given to a worker", "refused")
@pytest.mark.parametrize("path", HOSTILE, ids=repr)
@pytest.mark.parametrize("route", ["/v1/load", "/v1/profile", "/v1/inspect"])
@pytest.mark.parametrize("engine", ["image", "llm"])
def test_a_worker_loads_no_path_that_is_no_model(
    worker_of: Callable[[str], Worker], engine: str, route: str, path: str
) -> None:
    worker = worker_of(engine)
    worker.wait_imported()
    model = {"kind": engine, "path": path, "digest": "0" * 64}
    body = {"model": model} if route == "/v1/load" else {"path": path}
    assert is_refused(sent(worker.http, "POST", route, body))
