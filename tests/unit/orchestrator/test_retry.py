import pytest

from mysticanvas.orchestrator.queue.retry import MAX_ATTEMPTS, Failure, decide


@pytest.mark.parametrize("failure", [Failure.WORKER_LOST, Failure.ORCHESTRATOR_LOST])
def test_a_crash_is_tried_once_more(failure: Failure) -> None:
    assert decide(failure, 1) is not None
    assert decide(failure, MAX_ATTEMPTS) is None


def test_what_the_worker_refused_is_not_tried_again() -> None:
    assert decide(Failure.REFUSED, 1) is None


def test_a_stop_never_costs_a_job() -> None:
    again = decide(Failure.ORCHESTRATOR_STOPPED, 99)
    assert again is not None
    assert again.delay_s == 0
