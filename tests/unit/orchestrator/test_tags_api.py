"""Tags over HTTP, with a real store and no process."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mysticanvas import web
from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.images import FileRecord
from mysticanvas.contracts.recipe import Recipe, ResolvedParams
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.api import tags
from mysticanvas.orchestrator.events import Bus
from mysticanvas.store import NewImage, Store

PARAMS = ResolvedParams(
    prompt="a red circle",
    width=16,
    height=8,
    num_inference_steps=4,
    guidance_scale=3.0,
    seed=7,
    scheduler="DDIMScheduler",
)
RECIPE = Recipe(preset="tiny", pipeline="StableDiffusionPipeline", params=PARAMS, model_files={})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(HomePaths.of(tmp_path / "home")) as opened:
        yield opened


@pytest.fixture
def ids(store: Store) -> list[str]:
    """The ids of three pictures."""
    image_ids = [new_id() for _ in range(3)]
    file = FileRecord(path="images/a.png", sha256="a", bytes=1, width=16, height=8)
    store.images.add(
        [
            NewImage(
                id=image_id,
                job_id=new_id(),
                batch_index=0,
                project="default",
                recipe=RECIPE,
                mode="RGB",
                pixels_sha256="a",
                file=file,
                created_at=datetime.now(UTC),
            )
            for image_id in image_ids
        ]
    )
    return image_ids


class Heard(Bus):
    """A bus that remembers what was said."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, dict[str, Any]]] = []

    def publish(self, kind: Any, data: dict[str, Any]) -> None:
        self.events.append((kind, data))


@pytest.fixture
def bus() -> Heard:
    return Heard()


@pytest.fixture
def http(store: Store, bus: Heard) -> Iterator[TestClient]:
    app = web.create_app("test", "token", "http://127.0.0.1")
    app.include_router(tags.routes(store, bus))
    headers = {"Authorization": "Bearer token"}
    with TestClient(app, headers=headers, base_url="http://127.0.0.1") as client:
        yield client


def test_a_picture_gets_and_loses_tags_and_listeners_hear_of_it(
    http: TestClient, bus: Heard, ids: list[str]
) -> None:
    path = f"/v1/images/{ids[0]}/tags"
    answer = http.put(path, json={"names": ["Noir", "castle"]})
    assert [tag["name"] for tag in answer.json()] == ["castle", "Noir"]
    answer = http.delete(path, params={"name": ["noir", "unknown"]})
    assert answer.json() == http.get(path).json()
    assert [tag["name"] for tag in answer.json()] == ["castle"]
    assert [(kind, data["id"]) for kind, data in bus.events] == [("image", ids[0])] * 2


def test_several_pictures_get_and_lose_tags_at_once(http: TestClient, ids: list[str]) -> None:
    assert http.post("/v1/tags/add", json={"ids": ids, "names": ["a", "b"]}).is_success
    assert http.post("/v1/tags/remove", json={"ids": ids[:2], "names": ["b"]}).is_success
    page = http.get("/v1/tags").json()
    assert [(tag["name"], tag["count"]) for tag in page["items"]] == [("a", 3), ("b", 1)]
    assert [tag["name"] for tag in http.get("/v1/tags?q=B").json()["items"]] == ["b"]
    assert http.get("/v1/tags?project=other").json()["items"] == []


def test_aliases_renaming_and_merging(http: TestClient, ids: list[str]) -> None:
    http.post("/v1/tags/add", json={"ids": ids, "names": ["grey", "ink"]})
    assert http.post("/v1/tags/aliases", json={"alias": "grey", "tag": "gray"}).is_success
    assert http.get("/v1/tags/aliases").json()[0]["tag"] == "gray"
    assert http.get("/v1/tags", params={"name": "GREY"}).json()["items"][0]["count"] == 3
    renamed = http.post("/v1/tags/rename", json={"old": "grey", "new": "Silver"}).json()
    assert (renamed["name"], renamed["count"]) == ("Silver", 3)
    merged = http.post("/v1/tags/merge", json={"tag": "ink", "into": "silver"}).json()
    assert (merged["name"], merged["count"]) == ("Silver", 3)
    assert http.get("/v1/tags").json()["total"] == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("PUT", "/v1/images/nope/tags", {"names": ["a"]}, "not_found"),
        ("PUT", "/v1/images/nope/tags", {"names": []}, "invalid_request"),
        ("PUT", "/v1/images/nope/tags", {"names": ["a\x00"]}, "invalid_request"),
        ("DELETE", "/v1/images/nope/tags", None, "invalid_request"),
        ("GET", "/v1/tags?name=nope", None, "not_found"),
        ("GET", "/v1/tags?limit=0", None, "invalid_request"),
        ("POST", "/v1/tags/rename", {"old": "nope", "new": "a"}, "not_found"),
        ("POST", "/v1/tags/aliases", {"alias": "a", "tag": "A"}, "invalid_request"),
        ("POST", "/v1/tags/add", {"ids": ["x"] * 501, "names": ["a"]}, "invalid_request"),
    ],
)
def test_what_is_refused(http: TestClient, method: str, path: str, body: Any, code: str) -> None:
    answer = http.request(method, path, json=body)
    assert answer.json()["code"] == code
