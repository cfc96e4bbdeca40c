"""Searches over HTTP, and the thread that keeps the index, with a real store and no process."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from mysticanvas import web
from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.images import FileRecord
from mysticanvas.contracts.recipe import Recipe, ResolvedParams
from mysticanvas.contracts.search import SearchPage
from mysticanvas.errors import StoreError
from mysticanvas.orchestrator.api import search
from mysticanvas.orchestrator.index_keeper import IndexKeeper
from mysticanvas.settings import HomePaths
from mysticanvas.store import NewImage, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(HomePaths.of(tmp_path / "home")) as opened:
        add(opened, "a red circle", "a red castle", "blue sky")
        yield opened


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    app = web.create_app("test", "token")
    app.include_router(search.routes(store))
    headers = {"Authorization": "Bearer token"}
    with TestClient(app, headers=headers, raise_server_exceptions=False) as opened:
        yield opened


def add(store: Store, *prompts: str) -> None:
    for prompt in prompts:
        params = ResolvedParams(
            prompt=prompt, width=16, height=8, num_inference_steps=4, guidance_scale=3.0, seed=7,
            scheduler="DDIMScheduler",
        )  # fmt: skip
        image = NewImage(
            id=new_id(),
            job_id=new_id(),
            batch_index=0,
            project="default",
            recipe=Recipe(preset="tiny", pipeline="P", params=params, model_files={}),
            mode="RGB",
            pixels_sha256="a",
            file=FileRecord(path="images/a.png", sha256="a", bytes=1, width=16, height=8),
            created_at=datetime.now(UTC),
        )
        store.images.add([image])


def test_pages_are_ranked_and_follow_each_other(client: TestClient) -> None:
    first = client.get("/v1/search", params={"text": "red castle", "limit": 1})
    page = SearchPage.model_validate(first.json())
    assert [image.prompt for image in page.items] == ["a red castle"]
    assert (page.total, len(page.scores)) == (2, 1)
    rest = client.get("/v1/search", params={"text": "red castle", "cursor": page.next_cursor})
    following = SearchPage.model_validate(rest.json())
    assert [image.prompt for image in following.items] == ["a red circle"]
    assert following.next_cursor is None
    assert page.scores[0] > following.scores[0] > 0


def test_filters_stand_beside_the_text(client: TestClient, store: Store) -> None:
    store.tags.add([1], ["film noir"], "user")

    def found(**query: object) -> list[str]:
        answer = client.get("/v1/search", params=query)
        return [image.prompt for image in SearchPage.model_validate(answer.json()).items]

    assert found(text="red", tags="Film Noir") == ["a red circle"]
    assert found(text="red", project="other") == []
    assert found() == ["blue sky", "a red castle", "a red circle"]


@pytest.mark.parametrize(
    "query",
    [
        {"text": "seed:abc"},
        {"text": "x" * 20_000},
        {"text": "red", "cursor": "broken"},
        {"text": "red", "limit": 0},
        {"text": "red", "seed": "abc"},
    ],
)
def test_what_cannot_be_asked_is_a_problem(client: TestClient, query: dict[str, str]) -> None:
    answer = client.get("/v1/search", params=query)
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_request"


@pytest.mark.parametrize("text", ["'; DROP TABLE images; --", "\0", '"', "%' OR 1=1", "{hits}"])
def test_hostile_text_is_text(client: TestClient, store: Store, text: str) -> None:
    assert client.get("/v1/search", params={"text": text}).status_code == 200
    assert store.images.count() == 3


def test_the_keeper_maintains_when_something_was_recorded(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = threading.Semaphore(0)
    fail = threading.Event()

    def maintain(budget_s: float = 0.0) -> bool:
        called.release()
        if fail.is_set():
            raise StoreError("The disk is full.")
        return False

    monkeypatch.setattr(store.search, "maintain", maintain)
    keeper = IndexKeeper(store, check_s=0.01)
    keeper.start()
    try:
        assert called.acquire(timeout=60)
        fail.set()
        # A step that fails does not end it.
        for _ in range(2):
            add(store, "a green hill")
            assert called.acquire(timeout=60)
    finally:
        keeper.stop()
    assert not called.acquire(blocking=False)
