"""Whether and when a worker that ended is started again."""

from __future__ import annotations

import pytest

from mysticanvas.orchestrator.supervisor.breaker import (
    COOL_DOWN_S,
    FIRST_S,
    LONGEST_COOL_DOWN_S,
    MAX_FAILURES,
    STABLE_S,
    WINDOW_S,
    Again,
    History,
    Open,
    after_end,
    decide,
)


def after(ends: int, apart_s: float = 1.0) -> History:
    history = History()
    for k in range(ends):
        history = after_end(history, k * apart_s, ran_s=0.5, useful=False)
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
        history = after_end(history, 1000.0 * (k + 1), ran_s=0.5, useful=False)
    assert cool_downs[:3] == [COOL_DOWN_S, 2 * COOL_DOWN_S, 4 * COOL_DOWN_S]
    assert cool_downs[-1] == LONGEST_COOL_DOWN_S


@pytest.mark.parametrize(("ran_s", "useful"), [(STABLE_S, False), (0.1, True)])
def test_a_process_that_was_well_starts_the_count_anew(ran_s: float, useful: bool) -> None:
    history = after_end(after(MAX_FAILURES + 1), 99.0, ran_s, useful)
    assert decide(history) == Again(FIRST_S)


def test_without_failures_nothing_is_waited_for() -> None:
    assert decide(History()) == Again(0.0)
