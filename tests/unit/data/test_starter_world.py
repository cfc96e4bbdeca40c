"""The starter model's world: the grammar, the drawing, the split and the styles' statistics."""

from __future__ import annotations

from random import Random

import draw
import numpy as np
import phrases
import pytest
import styles
import world

CIRCLE = world.Thing("circle", "red")
SQUARE = world.Thing("square", "blue")
KEPT_BACK = (47, ("circle", "red", "orange"), ("cross", "white", "white"))


def _scenes(count: int, seed: int = 0) -> list[world.Scene]:
    rng = Random(seed)
    return [world.sample(rng) for _ in range(count)]


def _centre(picture: np.ndarray, colour: str) -> tuple[float, float]:
    away = np.abs(picture.astype(int) - draw.RGB[colour]).max(axis=2)
    rows, columns = np.nonzero(away < 8)
    return float(columns.mean()), float(rows.mean())


def test_the_same_seed_gives_the_same_scene_caption_and_pixels() -> None:
    def once() -> tuple[world.Scene, str, bytes]:
        rng = Random(3)
        scene = world.sample(rng)
        return scene, phrases.describe(scene, rng)[0], draw.draw(scene, rng).tobytes()

    assert once() == once()


def test_training_scenes_hold_no_kept_back_combination() -> None:
    assert not any(world.held_out(scene) for scene in _scenes(500))


def test_kept_back_scenes_are_all_kept_back() -> None:
    rng = Random(1)
    assert all(world.held_out(world.sample(rng, kept_back=True)) for _ in range(200))


def test_the_split_is_the_one_that_the_model_was_trained_on() -> None:
    """A change of the hash or its keys would let training pictures into the figures."""
    kept = [
        (shape, colour, background)
        for shape in world.SHAPES
        for colour in world.COLOURS
        for background in world.COLOURS
        if world.held_out(world.Scene(world.Thing(shape, colour), background))
    ]
    assert (len(kept), kept[0], kept[-1]) == KEPT_BACK


def test_size_and_style_do_not_move_a_scene_across_the_split() -> None:
    for scene in _scenes(50):
        thing = world.Thing(scene.first.shape, scene.first.colour, "big")
        other = world.Scene(thing, scene.background, "neon", scene.relation, scene.second)
        assert not world.held_out(other)


@pytest.mark.parametrize(("relation", "axis"), [("above", 1), ("left", 0)], ids=["above", "left"])
def test_a_relation_is_drawn_as_said(relation: str, axis: int) -> None:
    scene = world.Scene(CIRCLE, "white", "flat", relation, SQUARE)
    picture = draw.draw(scene, Random(2))
    assert _centre(picture, "red")[axis] < _centre(picture, "blue")[axis] - 32


def test_inside_is_drawn_within_the_outer_thing() -> None:
    scene = world.Scene(CIRCLE, "white", "flat", "inside", SQUARE)
    inner, outer = draw.place(scene, Random(2))
    within = draw.distance(CIRCLE, inner, 128, 128) < 0
    assert (draw.distance(SQUARE, outer, 128, 128)[within] < 0).all()


@pytest.mark.parametrize("shape", world.SHAPES)
def test_every_inner_shape_fits_every_outer_shape(shape: str) -> None:
    for outer_shape in world.SHAPES:
        outer_thing = world.Thing(outer_shape, "blue")
        scene = world.Scene(world.Thing(shape, "red"), "white", "flat", "inside", outer_thing)
        inner, outer = draw.place(scene, Random(4))
        within = draw.distance(scene.first, inner, 128, 128) < 0
        covered = draw.distance(outer_thing, outer, 128, 128)[within] < 0
        assert covered.mean() > 0.9, outer_shape


@pytest.mark.parametrize(("width", "height"), [(96, 160), (256, 256), (200, 104)])
def test_any_size_can_be_drawn(width: int, height: int) -> None:
    for scene in _scenes(12):
        assert draw.draw(scene, Random(5), width, height).shape == (height, width, 3)


def test_a_full_caption_names_every_thing_and_colour() -> None:
    rng = Random(6)
    for scene in _scenes(100):
        caption = phrases.describe_fully(scene, rng)
        for thing in scene.things:
            assert any(word in caption for word in phrases.COLOUR_WORDS[thing.colour])
            assert any(word in caption for word in phrases.SHAPE_WORDS[thing.shape])


def test_captions_leave_each_part_out_now_and_then() -> None:
    rng = Random(7)
    said = [phrases.describe(scene, rng)[1] for scene in _scenes(800)]
    for part in ("shape1", "colour1", "size1", "relation", "background", "style"):
        missing = sum(caption[part] is None for caption in said)
        assert 0 < missing < len(said), part


def test_every_phrasing_is_listed_as_known_words() -> None:
    known, rng = set(phrases.words()), Random(8)
    for scene in _scenes(300):
        caption = phrases.describe(scene, rng)[0].replace(",", " ")
        assert set(caption.split()) <= known


def test_the_statistics_tell_the_styles_of_drawn_pictures_apart() -> None:
    threshold = styles.fit(count=400)
    told = styles.accuracy(threshold, count=60).values()
    assert sum(told) / len(told) >= 0.9
    assert min(told) >= 0.75
