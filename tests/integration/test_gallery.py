"""`canvas.images` through all processes: pages, filters, stars, and what a card does not have."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from mysticanvas import Canvas, Image, Images, InvalidRequest, NotFound
from mysticanvas.client.api import Api
from mysticanvas.contracts.ids import new_id, short

QUICK: dict[str, Any] = {"num_inference_steps": 1}


@pytest.fixture
def made(canvas: Canvas, tiny_sd: Path) -> Images:
    return canvas.generate("a castle", preset=tiny_sd, seed=3, num_images=3, **QUICK)


@pytest.fixture
def other(canvas: Canvas) -> Iterator[Canvas]:
    """Another project of the same home."""
    with Canvas(home=canvas.home, project=f"other-{new_id()}") as other:
        yield other


def test_the_collection_is_called_counted_walked_and_looked_up(
    canvas: Canvas, made: Images
) -> None:
    newest_first = list(reversed(made))
    assert len(canvas.images) == 3
    assert list(canvas.images) == newest_first
    assert canvas.images.list(2) == Images(newest_first[:2])
    assert canvas.images.list(sort="oldest") == made
    assert canvas.images[made[1].id[-8:]] == made[1]
    assert repr(canvas.images) == f"<ImageCollection 3 project={canvas.project!r}>"
    assert canvas.images._repr_html_().count("<img ") == 3
    page = canvas.images(limit=2, sort="oldest")
    assert [*page, *page.next()] == list(made)
    assert page.next().next_cursor is None
    with pytest.raises(InvalidRequest, match="another query"):
        canvas.images(limit=2, cursor=page.next_cursor)


def test_projects_do_not_see_one_another(canvas: Canvas, other: Canvas, made: Images) -> None:
    assert len(other.images) == 0
    assert list(other.images) == []
    assert other.images._repr_html_() == "<p>no pictures yet</p>"
    assert made[0] in canvas.images
    assert made[0] in other.images
    assert short(made[0].id) not in other.images
    with pytest.raises(NotFound):
        other.images[made[0].id[-8:]]
    assert list(other.images(project=canvas.project)) == list(canvas.images)
    with Canvas(home=canvas.home) as everything:
        assert made[0] in everything.images


def test_filters_reach_the_store(canvas: Canvas, made: Images) -> None:
    assert list(canvas.images(seed=4)) == [made[1]]
    assert list(canvas.images(ids=[made[0], made[2].id])) == [made[2], made[0]]
    assert canvas.images(job=made[0].job_id, since=timedelta(hours=1)).total == 3
    assert canvas.images(until=timedelta(hours=1)).total == 0
    assert canvas.images(tags="nowhere").total == 0
    assert canvas.images(not_tags=["nowhere", "or here"], width=made[0].width).total == 3
    assert list(canvas.images(ids=[made[0].id, *(new_id() for _ in range(499))])) == [made[0]]
    with pytest.raises(InvalidRequest, match="min_rating"):
        canvas.images(rating=3)  # type: ignore[call-arg]


def test_a_star_and_a_rating_are_kept_and_announced(canvas: Canvas, made: Images) -> None:
    runtime = json.loads((canvas.home / "run" / "orchestrator.json").read_text())
    url = runtime["url"].replace("http", "ws") + "/v1/events"
    headers = {"Authorization": f"Bearer {runtime['token']}"}
    image, seen_elsewhere = made[0], canvas.image(made[0].id)
    assert (image.starred, image.rating) == (False, None)
    with connect(url, additional_headers=headers, proxy=None) as events:
        assert json.loads(events.recv(timeout=60))["type"] == "hello"
        image.starred = True
        # Jobs of the orchestrator's own may be told of in between.
        while (event := json.loads(events.recv(timeout=60)))["type"] != "image":
            pass
    assert (event["type"], event["data"]["id"]) == ("image", image.id)
    assert event["data"]["starred"] is True
    image.rate(4)
    assert (image.starred, image.rating) == (True, 4)
    assert seen_elsewhere.rating is None
    assert seen_elsewhere.refresh().rating == 4
    assert list(canvas.images(starred=True)) == list(canvas.images(min_rating=4)) == [image]
    assert canvas.images(min_rating=5).total == 0
    assert canvas.images(starred=False).total == 2
    image.starred = False
    assert canvas.images(starred=True).total == 0


@pytest.mark.parametrize("rating", [-1, 6, 2.5, True, "5", None])
def test_what_is_no_rating_is_refused(made: Images, rating: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        made[0].rate(rating)
    assert caught.value.parameter == "rating"
    with pytest.raises(InvalidRequest):
        made[0].starred = "yes"  # type: ignore[assignment]


def test_a_page_fetches_what_its_cards_lack_once_and_together(
    canvas: Canvas, made: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = Api.image_details

    def spy(api: Api, image_ids: list[str]) -> Any:
        asked.append(len(image_ids))
        return real(api, image_ids)

    monkeypatch.setattr(Api, "image_details", spy)
    page = canvas.images()
    assert {image.prompt for image in page} == {"a castle"}
    assert all(image.path.is_file() for image in page)
    assert repr(page[0]) == repr(made[2])
    assert asked == []
    table = page.to_pandas()
    assert asked == [3]
    assert list(table["num_inference_steps"]) == [1, 1, 1]
    assert [image.recipe for image in page] == [image.recipe for image in reversed(made)]
    assert [image.pixels_sha256 for image in page] == [i.pixels_sha256 for i in reversed(made)]
    assert asked == [3]


def test_a_picture_of_a_page_can_be_made_again(canvas: Canvas, made: Images) -> None:
    found: Image = canvas.images(seed=5)[0]
    assert canvas.reproduce(found).matches
    assert canvas.reproduce(found.recipe).original == found
