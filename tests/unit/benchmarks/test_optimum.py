"""The fewest seconds of loading, on series that can be followed by hand."""

from __future__ import annotations

from benchmarks import optimum
from benchmarks.optimum import Model, Step

SMALL = Model("small", 2_000, load_s=5.0, start_s=6.0)
LARGE = Model("large", 6_000, load_s=20.0, start_s=6.0)
CHAT = Model("chat", 3_000, load_s=4.0, start_s=1.0, context_mib=1_000, context_s=0.5)


def drawn(model: Model, needs_mib: float) -> Step:
    return Step(model, needs_mib)


TALKED = Step(CHAT, 4_000)


def test_what_stays_is_loaded_once() -> None:
    steps = [drawn(SMALL, 3_000), TALKED, drawn(SMALL, 3_000), TALKED]
    assert optimum.seconds(steps, 8_000) == 11 + 5


def test_a_context_is_made_again_rather_than_a_model() -> None:
    steps = [TALKED, drawn(SMALL, 4_500), TALKED]
    assert optimum.seconds(steps, 8_000) == 5 + 11 + 0.5


def test_what_is_loaded_for_fewer_seconds_goes() -> None:
    # Both never fit, so one has to go each time.
    steps = [drawn(LARGE, 7_000), TALKED, drawn(LARGE, 7_000)]
    assert optimum.seconds(steps, 9_000) == 26 + 5 + 26
    assert optimum.seconds(steps, 10_500) == 26 + 5


def test_another_model_in_the_same_process_costs_no_start() -> None:
    assert optimum.seconds([drawn(SMALL, 3_000), drawn(LARGE, 7_000)], 8_000) == 11 + 20


def test_what_fits_in_no_case_is_left_out() -> None:
    assert optimum.seconds([drawn(LARGE, 9_000), TALKED], 8_000) == 5
