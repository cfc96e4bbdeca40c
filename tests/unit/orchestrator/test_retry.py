"""Whether a job runs again."""

import random

import pytest

from mysticanvas.contracts.jobs import LONGEST_DELAY_S
from mysticanvas.orchestrator.queue.retry import (
    FIRST_S,
    MAX_FAILURES,
    MAX_UNBEGUN,
    Failure,
    Retry,
    decide,
    delay_s,
)


@pytest.mark.parametrize("failure", [Failure.WORKER_LOST, Failure.ORCHESTRATOR_LOST])
def test_a_crash_is_tried_again_until_it_has_happened_often_enough(failure: Failure) -> None:
    for failures in range(1, MAX_FAILURES):
        assert decide(failure, failures, unbegun=0, jitter=0.5) is not None
    assert decide(failure, MAX_FAILURES, unbegun=0, jitter=0.5) is None


def test_a_worker_that_was_not_there_is_not_held_against_the_job() -> None:
    """But nobody waits for ever for one that never comes."""
    missing = Failure.WORKER_MISSING
    assert not missing.counts
    for failures in (0, MAX_FAILURES - 1):
        for unbegun in range(1, MAX_UNBEGUN):
            assert decide(missing, failures, unbegun, jitter=0.5) is not None
        assert decide(missing, failures, MAX_UNBEGUN, jitter=0.5) is None


@pytest.mark.parametrize("failure", Failure)
def test_an_attempt_that_reached_no_worker_does_not_count_against_the_job(
    failure: Failure,
) -> None:
    assert not (failure.unbegun and failure.counts)


def test_making_way_never_costs_a_job() -> None:
    assert decide(Failure.PREEMPTED, 2, 0, 1.0) == Retry(0.0)
    assert not Failure.PREEMPTED.counts


def test_a_stop_never_costs_a_job() -> None:
    again = decide(Failure.ORCHESTRATOR_STOPPED, failures=2, unbegun=0, jitter=0.5)
    assert again is not None
    assert again.delay_s == 0


@pytest.mark.parametrize("seed", range(5))
def test_delays_double_up_to_a_limit_and_half_of_each_is_left_to_chance(seed: int) -> None:
    chance = random.Random(seed)
    delays = [delay_s(failures, chance.random()) for failures in range(1, 20)]
    for failures, delay in enumerate(delays, 1):
        whole = min(LONGEST_DELAY_S, FIRST_S * 2 ** (failures - 1))
        assert whole / 2 <= delay <= whole
    assert len(set(delays)) == len(delays)


def test_while_the_worker_is_broken_who_waits_is_told_and_the_background_is_kept() -> None:
    broken = Failure.WORKER_BROKEN
    assert not broken.counts
    assert decide(broken, failures=0, unbegun=1, jitter=0.5, waited_for=True) is None
    for unbegun in (1, MAX_UNBEGUN, 99):
        again = decide(broken, 0, unbegun, jitter=0.5, waited_for=False)
        assert again is not None
        assert again.delay_s <= LONGEST_DELAY_S
