from collections.abc import Callable

from mysticanvas import Image, Recipe, Reproduction
from mysticanvas.contracts.recipe import Environment
from mysticanvas.session.original import Original
from mysticanvas.session.reproduction import compare

MakeImage = Callable[..., Image]


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
