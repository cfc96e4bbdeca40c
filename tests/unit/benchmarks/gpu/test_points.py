from benchmarks.gpu.points import (
    COMPARED,
    FITTED,
    HELD_OUT,
    OTHER,
    Point,
    full,
    grows,
    rehearsal,
)


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


def test_every_model_is_fitted_in_the_first_points() -> None:
    assert {point.model for point in FITTED[:3]} == {point.model for point in HELD_OUT}


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
    assert Point("sdxl", 64, 64).guided
    assert not Point("flux", 64, 64).guided
