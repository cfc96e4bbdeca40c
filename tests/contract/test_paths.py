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


HOSTILE = [
    "../../etc",
    "/etc",
    "/etc/passwd",
    "a\0b",
    "/" + "x" * 5000,
    "~nobody",
    "~nobody-of-that-name",
    "\ud800",
    "",
]
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


@pytest.fixture
def links(tmp_path: Path) -> dict[str, str]:
    """Links to what is no model, each of which looks like one by its name."""
    (tmp_path / "secret").write_text(SECRET)
    folder = tmp_path / "folder"
    folder.mkdir()
    # What is looked for in a folder may itself be a link.
    for name in ("model_index.json", "config.json"):
        (folder / name).symlink_to(tmp_path / "secret")
    targets = {"nowhere": tmp_path / "gone", "secret": tmp_path / "secret"}
    found = {"folder": str(tmp_path / "linked folder")}
    Path(found["folder"]).symlink_to(folder)
    for suffix in SUFFIXES:
        for name, target in targets.items():
            link = tmp_path / f"{name} link.{suffix}"
            link.symlink_to(target)
            found[f"{name}.{suffix}"] = str(link)
        itself = tmp_path / f"itself.{suffix}"
        itself.symlink_to(itself)
        found[f"itself.{suffix}"] = str(itself)
    return found


SUFFIXES = ("safetensors", "gguf")
LINKS = [
    "folder",
    *(f"{name}.{end}" for name in ("nowhere", "secret", "itself") for end in SUFFIXES),
]
LEADING: dict[str, Any] = {
    "generate": (
        "POST",
        "/v1/jobs",
        lambda path: {"kind": "generate", "params": {"prompt": "x", "preset": path}},
    ),
    "lora": (
        "POST",
        "/v1/jobs",
        lambda path: {"kind": "generate", "params": {"prompt": "x", "loras": {path: 1.0}}},
    ),
    "plan": NAMING["plan"],
    "pin": NAMING["pin"],
    "language model": NAMING["language model"],
    "unload": ("POST", "/v1/unload", lambda path: {"preset": path}),
    **{
        f"preset with {part}": (
            "PUT",
            "/v1/presets/image/linked",
            lambda path, part=part: {"name": "linked", "model": "starter", part: path},
        )
        for part in ("model", "unet", "vae", "clip", "loras")
    },
    **{
        f"language preset with {part}": (
            "PUT",
            "/v1/presets/llm/linked",
            lambda path, part=part: {"name": "linked", "model": path, part: path},
        )
        for part in ("model", "mmproj")
    },
}
"""Routes that take the path of a model, which is read wherever its links lead."""


@pytest.mark.fault("a symlink in place of a model", "refused as what it leads to")
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("what", LEADING)
def test_a_link_to_no_model_is_refused_as_what_it_leads_to(
    http: httpx.Client, links: dict[str, str], what: str, link: str
) -> None:
    method, route, body = LEADING[what]
    assert is_refused(sent(http, method, route, body(links[link])))


@pytest.mark.fault("a symlink in place of a folder of models", "refused, or only names are told")
def test_a_folder_of_models_may_be_a_link_and_have_some(
    http: httpx.Client, links: dict[str, str], tmp_path: Path
) -> None:
    for link in set(LINKS) - {"folder"}:
        assert is_refused(sent(http, "POST", "/v1/models/folders", {"path": links[link]}))
    lib = tmp_path / "folder" / "loras"
    lib.mkdir()
    (tmp_path / "folder" / "model_index.json").unlink()
    (lib / "ink.safetensors").symlink_to(tmp_path / "secret")
    (lib / "gone.safetensors").symlink_to(tmp_path / "gone")
    (lib / "round").symlink_to(tmp_path / "folder")
    found = sent(http, "POST", "/v1/models/folders", {"path": links["folder"]})
    assert [(model["name"], model["size"]) for model in found.json()] == [("ink", len(SECRET))]
    assert SECRET not in found.text


def test_a_model_may_be_a_link(http: httpx.Client, tiny_sd: Path, tmp_path: Path) -> None:
    link = tmp_path / "link to a model"
    link.symlink_to(tiny_sd)
    body = {"name": "linked", "model": str(link)}
    saved = sent(http, "PUT", "/v1/presets/image/linked", body).json()
    # What is kept is the link, which may lead to a newer one later.
    assert (saved["model"], saved["architecture"]) == (str(link), "StableDiffusionPipeline")
    assert http.delete("/v1/presets/image/linked").is_success


@pytest.mark.fault("a symlink in place of a model, given to a worker", "refused")
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("route", ["/v1/load", "/v1/profile", "/v1/inspect"])
@pytest.mark.parametrize("engine", ["image", "llm"])
def test_a_worker_refuses_a_link_as_what_it_leads_to(
    worker_of: Callable[[str], Worker], links: dict[str, str], engine: str, route: str, link: str
) -> None:
    worker = worker_of(engine)
    worker.wait_imported()
    model = {"kind": engine, "path": links[link], "digest": "0" * 64}
    body = {"model": model} if route == "/v1/load" else {"path": links[link]}
    assert is_refused(sent(worker.http, "POST", route, body))
