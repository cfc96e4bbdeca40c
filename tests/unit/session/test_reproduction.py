from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from mysticanvas_echo.engine import EchoEngine
from routes import TOKEN, Routes

from mysticanvas import Canvas, Image, Recipe, Reproduction
from mysticanvas.contracts.recipe import Environment
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.files import deleting, sweep
from mysticanvas.orchestrator.queue.generation import Generation
from mysticanvas.orchestrator.queue.lane import Lane
from mysticanvas.session.original import Original
from mysticanvas.session.reproduction import compare
from mysticanvas.store import Store, StoredJob
from mysticanvas.workers.engine import Control, Options

MakeImage = Callable[..., Image]


class Drawing(Lane[Generation]):
    """Carries out jobs in this process, with the engine of the tests."""

    def __init__(self, routes: Routes, images: Path) -> None:
        super().__init__("drawing", ["generate", "reproduce"], routes.transitions)
        self._bus = routes.bus
        self._engine = EchoEngine(Options(images=images))

    def begin(self, job: StoredJob) -> Generation:
        return Generation(job, self._bus, lambda: False)

    def execute(self, run: Generation) -> None:
        messages: Any = []
        self._engine.generate(run.task, messages.append, Control())
        run.follow(messages)
        self._transitions.succeed(run, run.images, run.matched)


@pytest.fixture
def canvas(tmp_path: Path, routes: Routes) -> Iterator[Canvas]:
    """A canvas whose jobs are carried out."""
    paths = HomePaths.of(tmp_path / "home")
    drawing = Drawing(routes, paths.images)
    drawing.start()
    with Canvas(home=paths.root, url=routes.url, token=TOKEN) as opened:
        yield opened
    drawing.stop()


def changed(recipe: Recipe, **environment: object) -> Recipe:
    assert recipe.environment is not None
    update = Environment.model_validate({**recipe.environment.model_dump(), **environment})
    return recipe.model_copy(update={"environment": update})


def test_equal_recipes_differ_in_nothing(recipe: Recipe) -> None:
    assert compare(recipe, recipe.model_copy()) == []


def test_what_differs_is_named_with_both_values(recipe: Recipe) -> None:
    now = changed(recipe, threads=8, versions={"torch": "2.14.0", "diffusers": "0.40"})
    assert [str(difference) for difference in compare(recipe, now)] == [
        "threads: 2 -> 8",
        "torch: 2.13.0 -> 2.14.0",
        "diffusers: none -> 0.40",
    ]


def test_attention_is_compared_where_both_recorded_it(recipe: Recipe) -> None:
    cudnn, flash = changed(recipe, attention="cudnn"), changed(recipe, attention="flash")
    assert [str(each) for each in compare(cudnn, flash)] == ["attention: cudnn -> flash"]
    assert compare(recipe, flash) == []


def test_changed_added_and_missing_model_files_come_first(recipe: Recipe) -> None:
    files = {"unet/weights.safetensors": "d" * 64, "new.json": "e" * 64}
    now = changed(recipe.model_copy(update={"model_files": files}), device="cuda:A")
    assert [difference.what for difference in compare(recipe, now)] == [
        "unet/weights.safetensors",
        "vae/weights.safetensors",
        "new.json",
        "device",
    ]
    assert str(compare(recipe, now)[0]) == f"unet/weights.safetensors: {'a' * 12} -> {'d' * 12}"


def test_a_recipe_without_environment_is_compared_by_its_files(recipe: Recipe) -> None:
    bare = recipe.model_copy(update={"environment": None})
    assert compare(bare, recipe) == []


def test_identical_pixels_give_the_original_back(make_image: MakeImage) -> None:
    image = make_image()
    same = Reproduction(Original(image.recipe, image, stored=True), None)
    assert same.matches is True
    assert same.image is image
    assert same.max_abs_diff == 0
    assert same.differences == []
    assert repr(same) == "<Reproduction identical>"
    assert same._repr_png_() == image._repr_png_()


def test_other_pixels_are_measured(make_image: MakeImage) -> None:
    image, made = make_image(colour=(250, 0, 9)), make_image(colour=(2, 3, 9))
    other = Reproduction(Original(image.recipe, image), made)
    assert other.matches is False
    assert other.image is made
    assert other.max_abs_diff == 248
    assert "248 of 255" in repr(other)


def test_a_recipe_alone_has_nothing_to_compare_with(make_image: MakeImage) -> None:
    made = make_image()
    alone = Reproduction(Original(made.recipe), made)
    assert alone.matches is None
    assert alone.max_abs_diff is None
    assert "nothing to compare" in repr(alone)


def test_a_file_that_was_edited_is_said_so(make_image: MakeImage) -> None:
    image, made = make_image(), make_image(colour=(0, 0, 0))
    edited = Reproduction(Original(image.recipe, image, edited=True), made)
    assert edited.differences[0].what == "pixels of the file"


def test_pixels_that_cannot_be_read_are_compared_by_their_digest(make_image: MakeImage) -> None:
    image, same, other = make_image(), make_image(), make_image(colour=(0, 0, 0))
    image.path.unlink()
    original = Original(image.recipe, image, image.pixels_sha256)
    identical, differs = Reproduction(original, same), Reproduction(original, other)
    assert (identical.matches, identical.max_abs_diff, identical.differences) == (True, 0, [])
    assert identical.image is same
    assert (differs.matches, differs.max_abs_diff) == (False, None)
    assert "cannot be read" in repr(differs)


def lose(image: Image, store: Store, paths: HomePaths) -> None:
    image.path.unlink()


def delete(image: Image, store: Store, paths: HomePaths) -> None:
    deleting.delete(store, paths.images, image.id)


def sweep_away(image: Image, store: Store, paths: HomePaths) -> None:
    delete(image, store, paths)
    sweep.run(store, paths, datetime.now(UTC), Mock())


@pytest.mark.parametrize("spoil", [lose, delete, sweep_away])
def test_a_picture_that_is_lost_is_made_again(
    canvas: Canvas, store: Store, model: str, spoil: Callable[[Image, Store, HomePaths], None]
) -> None:
    image = canvas.generate("a circle", preset=model, width=16, height=8)
    assert canvas.reproduce(image).image == image
    spoil(image, store, HomePaths.of(canvas.home))
    result = canvas.reproduce(image)
    assert repr(result) == "<Reproduction identical>"
    assert result.image.id != image.id
    assert result.image.pil().size == (16, 8)
    assert canvas.image(result.image.id).pixels_sha256 == image.pixels_sha256
    assert canvas.reproduce(result.image).image == result.image
