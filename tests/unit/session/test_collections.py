"""`canvas.images`, `.jobs`, `.tags` and `search`: the kernel's side, over real routes and a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from makers import Maker
from routes import TOKEN, Routes

from mysticanvas import Canvas, InvalidRequest, NotFound
from mysticanvas.contracts.ids import new_id, short
from mysticanvas.settings import HomePaths
from mysticanvas.store import Store


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store.open(HomePaths.of(home)) as opened:
        yield opened


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def routes(store: Store, home: Path) -> Iterator[Routes]:
    with Routes(store, HomePaths.of(home)).served() as routes:
        yield routes


OpenCanvas = Callable[..., Canvas]


@pytest.fixture
def open_canvas(routes: Routes, home: Path) -> Iterator[OpenCanvas]:
    """Opens canvases on the routes, of the project `castle` if not told otherwise."""
    opened: list[Canvas] = []

    def open_canvas(project: str | None = "castle") -> Canvas:
        opened.append(Canvas(home=home, project=project, url=routes.url, token=TOKEN))
        return opened[-1]

    yield open_canvas
    for canvas in opened:
        canvas.close()


@pytest.fixture
def canvas(open_canvas: OpenCanvas) -> Canvas:
    return open_canvas()


@pytest.fixture
def add_images(store: Store, maker: Maker) -> Callable[..., list[str]]:
    """Records pictures and gives their ids, oldest first."""

    def add_images(count: int, project: str = "castle", **params: Any) -> list[str]:
        recipe = maker.recipe(**params)
        made = [maker.image(new_id(), recipe, project=project) for _ in range(count)]
        store.images.add(made)
        return [image.id for image in made]

    return add_images


AddImages = Callable[..., list[str]]


def ids_of(found: Any) -> list[str]:
    return [each.id for each in found]


def test_no_ids_are_no_pictures(canvas: Canvas, add_images: AddImages) -> None:
    add_images(2, prompt="a circle")
    images = canvas.images
    for page in (
        images(ids=[]),
        images(ids=images(tags="nowhere")),
        canvas.search("circle", ids=[]),
    ):
        assert (list(page), page.total) == ([], 0)
    assert list(images.list(ids=[])) == []
    assert list(canvas.search("", ids=[])) == []


@pytest.mark.parametrize("name", ["tags", "any_tags", "not_tags"])
def test_no_tags_are_no_filter(canvas: Canvas, add_images: AddImages, name: str) -> None:
    made = add_images(2)
    assert ids_of(canvas.images(**{name: []})) == made[::-1]  # type: ignore[arg-type]
