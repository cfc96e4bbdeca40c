"""Pictures, jobs and tags of a canvas: the kernel's side, over real routes and a store."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import PIL.Image
import pytest
from makers import Maker
from routes import TOKEN, Routes

from mysticanvas import Canvas, InvalidRequest, NotFound
from mysticanvas.contracts import thumbnails
from mysticanvas.contracts.ids import new_id, short
from mysticanvas.home import HomePaths
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
    assert stored.record.priority == "interactive"
    assert stored.params["ids"] == [mine, other]
    all_of_it = store.jobs.get(canvas.export(tmp_path / "all").id)
    # What was whole when the orchestrator was killed is found, what was not is begun anew.
    assert all_of_it.record.after_crash == "requeue"
    assert (all_of_it.record.project, all_of_it.params["project"]) == ("castle", "castle")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("abc", InvalidRequest),
        ("-" * 36, InvalidRequest),
        ("01a219e6-36fb-775c-90c0-08f8d2c73297", NotFound),
    ],
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


@pytest.mark.parametrize(
    ("parameter", "ask"),
    [
        ("text", lambda canvas: canvas.search("\ud800")),
        ("cursor", lambda canvas: canvas.images(cursor="\ud800")),
        ("cursor", lambda canvas: canvas.search("", cursor="\ud800")),
        ("prefix", lambda canvas: canvas.tags.list("\ud800")),
        ("prefix", lambda canvas: canvas.tags.list(prefix=3)),
        ("kind", lambda canvas: canvas.jobs.list(kind="\ud800")),
        ("project", lambda canvas: canvas.images(project="\ud800")),
        ("project", lambda canvas: Canvas(home=canvas.home, project="\ud800")),
        ("query", lambda canvas: canvas.sql("\ud800")),
        ("name", lambda canvas: canvas.presets.image["\ud800"]),
    ],
)
def test_text_that_cannot_be_sent_is_refused_by_its_name(
    canvas: Canvas, parameter: str, ask: Callable[[Canvas], Any]
) -> None:
    with pytest.raises(InvalidRequest, match=f"^{parameter}=.*is not allowed") as refused:
        ask(canvas)
    assert refused.value.parameter == parameter
    assert refused.value.value != "None"


def test_a_kind_of_job_that_there_is_not_is_refused_with_all_there_are(canvas: Canvas) -> None:
    with pytest.raises(InvalidRequest, match="'reproduce'.*'pull'") as refused:
        canvas.jobs.list(kind="foo")  # type: ignore[arg-type]
    assert refused.value.parameter == "kind"
    with pytest.raises(InvalidRequest, match="^kind: .*'reproduce'.*'pull'") as refused:
        canvas._connection.call(lambda api: api.jobs(1, kind="foo"))
    assert refused.value.parameter == "kind"
    assert "'pull'" in refused.value.allowed


@pytest.mark.parametrize("text", [None, 3, "x" * 4001])
def test_what_is_no_text_of_a_search_is_refused_with_its_limit(canvas: Canvas, text: Any) -> None:
    with pytest.raises(InvalidRequest, match="4,000 characters"):
        canvas.search(text)


def test_a_whole_id_is_found_from_every_project_and_a_part_within_one(
    open_canvas: OpenCanvas, add_images: AddImages, add_jobs: AddJobs
) -> None:
    [image], [job] = add_images(1), add_jobs(1)
    mine, other, everything = open_canvas(), open_canvas("other"), open_canvas(None)
    for collection, id in ((mine.images, image), (mine.jobs, job), (everything.jobs, job)):
        assert collection[id] == collection[short(id)]
        assert {collection[id]} == {collection[id.upper()]}
        assert all(each in collection for each in (id, short(id), collection[id]))
    for collection, id in ((other.images, image), (other.jobs, job)):
        assert collection[id].id == id
        assert id in collection
        assert collection[id] in collection
        assert short(id) not in collection
        with pytest.raises(NotFound):
            collection[short(id)]
        assert list(collection) == []
    assert other.image(short(image)) == mine.images[image]
    assert other.job(short(job)) == mine.jobs[job]
    assert mine.jobs[job] != mine.images[image]
    for nothing in (new_id(), "", "x", None, 3, "\ud800"):
        assert nothing not in mine.images
        assert nothing not in mine.jobs
        assert nothing not in mine.tags


def test_a_tag_is_found_by_its_name_from_every_project(
    open_canvas: OpenCanvas, add_images: AddImages
) -> None:
    open_canvas().tags.add(add_images(1), "noir")
    tags = open_canvas("other").tags
    assert "Noir" in tags
    assert (tags["noir"].count, len(tags), list(tags)) == (0, 0, [])
    assert [tag.name for tag in tags.list(unused=True)] == ["noir"]


def test_every_page_is_walked_through(
    canvas: Canvas, add_images: AddImages, add_jobs: AddJobs
) -> None:
    """One more than a page of each, and pages that end where a project's pictures do."""
    images, jobs = add_images(401), add_jobs(101)
    add_images(3, "other")
    add_jobs(2, "other")
    assert ids_of(canvas.images) == images[::-1]
    assert ids_of(canvas.images.list(sort="oldest", limit=400)) == images[:400]
    assert ids_of(canvas.jobs) == ids_of(canvas.jobs.list(status="queued")) == jobs[::-1]
    assert (len(canvas.images), len(canvas.jobs)) == (401, 101)
    assert canvas.jobs._repr_html_().endswith("<p>and 81 older</p>")
    assert canvas.jobs._repr_html_().count(">queued, ") == 20


def test_pages_that_are_just_full_are_walked_through(
    canvas: Canvas, add_images: AddImages, add_jobs: AddJobs
) -> None:
    images, jobs = add_images(200), add_jobs(20)
    assert ids_of(canvas.images) == images[::-1]
    assert ids_of(canvas.jobs) == jobs[::-1]
    assert "older" not in canvas.jobs._repr_html_()


def test_a_notebook_shows_thumbnails_of_the_newest_pictures(
    canvas: Canvas, home: Path, store: Store, maker: Maker, add_images: AddImages
) -> None:
    assert canvas.images._repr_html_() == "<p>no pictures yet</p>"
    add_images(3)
    recipe = maker.recipe(prompt='"><script>')
    large = maker.recipe(prompt="large", width=2048, height=1024)
    paths = HomePaths.of(home)
    made = [
        maker.png(paths, maker.image(new_id(), each, project="castle"))
        for each in (recipe, large, recipe)
    ]
    store.images.add(made)
    add_images(9)
    small = home / thumbnails.path(made[2].id, 256)
    small.parent.mkdir(parents=True)
    PIL.Image.new("RGB", (16, 8)).save(small)

    shown = canvas.images._repr_html_()

    assert shown.count("<figure") == 12
    assert base64.b64encode(small.read_bytes()).decode() in shown
    assert shown.count('src="data:image/png;base64,') == 2 + 9, "tiles stand for missing files"
    assert shown.endswith("<p>and 3 older</p>")
    assert "<script>" not in shown
    assert all(short(image.id) in shown for image in made)
    assert len(shown) < 20_000
