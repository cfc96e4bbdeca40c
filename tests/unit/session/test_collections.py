"""Pictures, jobs and tags of a canvas: the kernel's side, over real routes and a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from makers import Maker
from routes import TOKEN, Routes

from mysticanvas import Canvas, InvalidRequest, NotFound
from mysticanvas.contracts.ids import new_id
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


@pytest.fixture
def add_jobs(store: Store, maker: Maker) -> Callable[..., list[str]]:
    """Queues jobs and gives their ids, oldest first."""

    def add_jobs(count: int, project: str = "castle", **members: Any) -> list[str]:
        return [maker.added(store, project=project, **members).record.id for _ in range(count)]

    return add_jobs


AddJobs = Callable[..., list[str]]


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


def test_jobs_of_the_orchestrators_own_belong_to_no_project(
    open_canvas: OpenCanvas, add_jobs: AddJobs, routes: Routes
) -> None:
    [mine], [other] = add_jobs(1), add_jobs(1, "other")
    routes.intake.internal("index")
    shown = [(job.id, job.kind) for job in open_canvas().jobs.list(internal=True)]
    assert [kind for _, kind in shown] == ["index", "generate"]
    assert shown[1][0] == mine
    assert ids_of(open_canvas().jobs.list()) == ids_of(open_canvas().jobs) == [mine]
    assert ids_of(open_canvas("other").jobs.list(internal=True)) == [shown[0][0], other]
    assert ids_of(open_canvas("default").jobs) == []
    assert len(open_canvas(None).jobs.list(internal=True)) == 3


def test_an_export_of_any_pictures_is_a_job_of_the_canvases_project(
    canvas: Canvas, store: Store, add_images: AddImages, tmp_path: Path
) -> None:
    [mine], [other] = add_images(1), add_images(1, "other")
    job = canvas.export(tmp_path / "out", images=[mine, canvas.images(project="other")[0]])
    stored = store.jobs.get(job.id)
    assert ids_of(canvas.jobs) == [job.id]
    assert (stored.record.project, stored.params["project"]) == ("castle", None)
    assert stored.params["ids"] == [mine, other]
    all_of_it = store.jobs.get(canvas.export(tmp_path / "all").id)
    assert (all_of_it.record.project, all_of_it.params["project"]) == ("castle", "castle")


@pytest.mark.parametrize(
    ("given", "error"),
    [("abc", InvalidRequest), ("-" * 36, InvalidRequest), (new_id(), NotFound)],
)
def test_an_export_of_what_is_no_picture_is_refused_before_there_is_a_job(
    canvas: Canvas, add_images: AddImages, tmp_path: Path, given: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match="images.*" + given) as refused:
        canvas.export(tmp_path / "out", images=[*add_images(1), given])
    assert cast(Any, refused.value).extra["parameter"] == "images"
    assert len(canvas.jobs) == 0


def test_a_deleted_picture_is_not_exported(
    canvas: Canvas, store: Store, add_images: AddImages, tmp_path: Path
) -> None:
    [kept, deleted] = add_images(2)
    store.images.delete([deleted])
    with pytest.raises(NotFound, match=deleted):
        canvas.export(tmp_path / "out", images=[kept, deleted])
    assert len(canvas.jobs) == 0


def test_a_search_is_sorted_by_time_if_asked(canvas: Canvas, add_images: AddImages) -> None:
    [first] = add_images(1, prompt="circle circle square")
    [second] = add_images(1, prompt="square")
    [third] = add_images(1, prompt="a circle among very many other things")
    assert ids_of(canvas.search("circle")) == [first, third]
    assert ids_of(canvas.search("circle", sort="newest")) == [third, first]
    page = canvas.search("circle square", 1, sort="oldest")
    assert ids_of([*page, *page.next(), *page.next().next()]) == [first, second, third]
    assert page[0].score
    assert page.total == 3
    with pytest.raises(InvalidRequest, match="'best', 'newest', 'oldest'") as refused:
        canvas.search("circle", sort="random")  # type: ignore[arg-type]
    assert refused.value.parameter == "sort"
