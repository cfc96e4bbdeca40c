"""Which background jobs make way, and when."""

from mysticanvas.orchestrator.queue import preemption
from mysticanvas.orchestrator.queue.past import Past
from mysticanvas.orchestrator.queue.retry import Failure


def test_a_background_job_makes_way_until_it_is_half_way() -> None:
    assert preemption.decide("background", 0, 0.0)
    assert preemption.decide("background", 0, 0.49)
    assert not preemption.decide("background", 0, 0.5)


def test_a_job_that_somebody_waits_for_does_not() -> None:
    assert not preemption.decide("interactive", 0, 0.0)


def test_after_three_times_it_is_left_to_run() -> None:
    """Attempts that ended otherwise are not held against it."""
    past, decided = Past(), []
    for _ in range(4):
        for failure in set(Failure) - {Failure.PREEMPTED}:
            past = past.after(failure)
        decided.append(preemption.decide("background", past.made_way, 0.0))
        past = past.after(Failure.PREEMPTED)
    assert decided == [True, True, True, False]
