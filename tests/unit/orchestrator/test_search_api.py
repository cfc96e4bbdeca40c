"""Searches over HTTP, with a real store and no process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pictures import add

from mysticanvas import web
from mysticanvas.contracts.search import SearchPage
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.api import search
from mysticanvas.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(HomePaths.of(tmp_path / "home")) as opened:
        add(opened, "a red circle", "a red castle", "blue sky")
        yield opened


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    app = web.create_app("test", "token", "http://testserver")
    app.include_router(search.routes(store))
    headers = {"Authorization": "Bearer token"}
    with TestClient(app, headers=headers, raise_server_exceptions=False) as opened:
        yield opened


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


def test_an_index_that_is_far_behind_is_a_problem_with_a_code_of_its_own(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mysticanvas.store.search.tail.MAX_IMAGES", 2)
    answer = client.get("/v1/search", params={"text": "red"})
    assert (answer.status_code, answer.json()["code"]) == (503, "store_busy")
    assert "3 pictures" in answer.json()["detail"]
