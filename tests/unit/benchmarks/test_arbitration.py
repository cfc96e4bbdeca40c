"""500 mixed requests, the sizes of real models, and the arbiter that is used for them."""

from __future__ import annotations

from benchmarks import arbitration


def test_nothing_is_refused_or_unloaded_without_need() -> None:
    known = arbitration.profiles()
    outcome = arbitration.run(arbitration.trace(seed=7), known, arbitration.BUDGETS_MIB[0])
    assert outcome.requests == arbitration.REQUESTS
    assert (outcome.wrongly_refused, outcome.needless, outcome.unexplained) == (0, 0, 0)
    assert outcome.soft > 0
    assert outcome.hard > 0
    assert outcome.loading_s <= 1.05 * outcome.optimum_s
