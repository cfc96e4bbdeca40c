"""Whether and when a worker that ended is started again."""

from __future__ import annotations

import pytest

from mysticanvas.orchestrator.supervisor.breaker import (
    COOL_DOWN_S,
    FIRST_S,
    LONGEST_COOL_DOWN_S,
    MAX_FAILURES,
    WINDOW_S,
    Again,
    History,
    Open,
    after_end,
    decide,
)


def after(ends: int, apart_s: float = 1.0, ran_s: float = 0.5) -> History:
    history = History()
    for k in range(ends):
        history = after_end(history, k * apart_s, ran_s)
    return history


def test_delays_double_until_the_breaker_opens() -> None:
    delays = [decide(after(ends)) for ends in range(1, MAX_FAILURES)]
    assert delays == [Again(FIRST_S * 2**k) for k in range(MAX_FAILURES - 1)]
    assert decide(after(MAX_FAILURES)) == Open(COOL_DOWN_S, MAX_FAILURES)


def test_failures_that_are_far_apart_open_nothing() -> None:
    apart = WINDOW_S / (MAX_FAILURES - 1) + 1
    assert isinstance(decide(after(10 * MAX_FAILURES, apart)), Again)


def test_a_trial_that_fails_doubles_the_cool_down_up_to_a_limit() -> None:
    history, cool_downs = after(MAX_FAILURES), []
    for k in range(8):
        opened = decide(history)
        assert isinstance(opened, Open)
        cool_downs.append(opened.cool_down_s)
        history = after_end(history, 1000.0 * (k + 1), ran_s=0.5)
    assert cool_downs[:3] == [COOL_DOWN_S, 2 * COOL_DOWN_S, 4 * COOL_DOWN_S]
    assert cool_downs[-1] == LONGEST_COOL_DOWN_S


@pytest.mark.parametrize("ran_s", [12.0, 60.0, 600.0])
def test_how_long_a_start_takes_to_fail_does_not_count(ran_s: float) -> None:
    assert isinstance(decide(after(MAX_FAILURES - 1, ran_s + 1, ran_s)), Again)
    assert isinstance(decide(after(MAX_FAILURES, ran_s + 1, ran_s)), Open)


def test_without_failures_nothing_is_waited_for() -> None:
    assert decide(History()) == Again(0.0)
