from collections import Counter

from benchmarks.gpu import models
from benchmarks.gpu.points import (
    COMPARED,
    FITTED,
    HELD_OUT,
    OTHER,
    PIPELINES,
    PROMPT,
    Point,
    full,
    grows,
    rehearsal,
)
from mysticanvas.workers.image import mitigations


def test_no_point_is_both_fitted_and_held_out() -> None:
    assert not set(FITTED) & set(HELD_OUT)
    plan = full()
    assert {plan.group(point) for point in FITTED} == {"fitted"}
    assert {plan.group(point) for point in HELD_OUT} == {"held out"}
    assert {plan.group(point) for point in COMPARED} == {"compared"}


def test_every_point_has_one_turn_and_those_that_are_fitted_come_first() -> None:
    points = full().points
    assert len(points) == len(set(points)) == len(FITTED) + len(HELD_OUT) + len(COMPARED)
    assert points[: len(FITTED)] == FITTED


def test_what_is_compared_differs_from_a_point_in_its_segments_alone() -> None:
    assert grows(OTHER) != grows("worker")
    for point in COMPARED:
        assert point._replace(segments="worker") in {*FITTED, *HELD_OUT}


def test_what_is_held_out_has_no_size_of_its_model_that_was_fitted() -> None:
    sizes = {(point.model, point.width, point.height) for point in FITTED}
    assert not sizes & {(point.model, point.width, point.height) for point in HELD_OUT}


def test_every_model_is_fitted_and_then_soon_held_out() -> None:
    assert {point.model for point in FITTED} == {point.model for point in HELD_OUT}
    assert {point.model for point in HELD_OUT[: len(PIPELINES)]} == PIPELINES.keys()
    assert min(Counter(point.model for point in HELD_OUT).values()) >= 3


def test_sizes_are_such_as_every_pipeline_takes() -> None:
    for point in full().points:
        assert point.width % 16 == point.height % 16 == 0


def test_only_autoencoders_with_such_tiles_decode_in_tiles() -> None:
    for point in full().points:
        vae = next(each.kind for each in models.components(point.model, True) if each.name == "vae")
        assert {*point.mitigations} <= {*mitigations.possible(PIPELINES[point.model], vae)}


def test_a_rehearsal_has_every_model_and_way_to_decode() -> None:
    plan = rehearsal()
    ways = {(point.model, point.mitigations) for point in plan.points}
    assert ways >= {(point.model, point.mitigations) for point in HELD_OUT}
    assert all(point.width * point.height <= 128 * 64 for point in plan.points)


def test_a_point_survives_json_and_says_what_it_is() -> None:
    point = Point("sdxl", 1024, 768, 2, ("vae_tiling",), OTHER, True)
    assert Point.from_json(list(point)) == point
    assert point.name == f"sdxl 1024×768 ×2 unguided vae_tiling {OTHER}"
    assert not point.guided


def test_guidance_and_tokens_are_as_the_product_takes_them() -> None:
    guided = {model for model in PIPELINES if Point(model, 64, 64).guided}
    assert guided == {"sd15", "sdxl", "sd3", "z-image"}
    assert not any(Point(model, 64, 64, plain=True).guided for model in PIPELINES)
    tokens = {model: Point(model, 64, 64).tokens for model in PIPELINES}
    letters = len(PROMPT)
    assert tokens == {
        "sd15": 77, "sdxl": 77, "flux": 512, "sd3": 77 + 256, "z-image": letters + 8,
        "qwen-image": letters + 5,
    }  # fmt: skip
