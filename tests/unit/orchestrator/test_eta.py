"""When a job is likely to be done."""

import pytest

from mysticanvas.orchestrator.queue import eta


def test_a_run_goes_on_as_fast_as_it_went() -> None:
    assert eta.running_s(0.25, elapsed_s=10, typical_s=99) == pytest.approx(30)
    assert eta.running_s(1.0, elapsed_s=10, typical_s=99) == 0


def test_a_run_that_just_began_takes_as_long_as_others_took() -> None:
    assert eta.running_s(0.0, elapsed_s=2, typical_s=10) == 8
    assert eta.running_s(0.0, elapsed_s=20, typical_s=10) == 0
    assert eta.running_s(0.0, elapsed_s=2, typical_s=None) is None


def test_how_long_loading_took_says_nothing_of_drawing() -> None:
    began = (0.05, 60.0)
    assert eta.running_s(0.05, 60, None, began) is None
    assert eta.running_s(0.15, 62, None, began) == pytest.approx(2 * 8.5)
    assert eta.running_s(0.06, 61, 100, began) == 39


def test_a_job_waits_for_those_before_it_and_then_takes_its_own_time() -> None:
    assert eta.waiting_s(2, [5.0, None], typical_s=10) == 35
    assert eta.waiting_s(0, [], typical_s=None) is None


def test_the_typical_time_is_that_of_the_last_jobs() -> None:
    pace = eta.Pace()
    assert pace.typical_s is None
    for seconds in [1000.0, *[4.0] * 8]:
        pace.took(seconds)
    assert pace.typical_s == 4
