import threading
from concurrent.futures import ThreadPoolExecutor

from mysticanvas.errors import OrchestratorUnavailable
from mysticanvas.orchestrator.activity import Activity


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_idle_is_reported_after_the_timeout() -> None:
    idle = threading.Event()
    activity = Activity(0.1, working=lambda: False, on_idle=idle.set)
    activity.start()
    assert idle.wait(10)
    activity.stop()


def test_it_is_idle_a_timeout_after_the_last_request_or_job() -> None:
    clock, jobs = Clock(), [True]
    activity = Activity(10, lambda: bool(jobs), lambda: None, clock)
    for now in (9, 18, 27):
        clock.now = now
        assert not activity.close_if_idle()
    jobs.clear()
    clock.now = 36
    assert activity.enter() is None
    clock.now = 1000
    assert not activity.close_if_idle(), "a request is under way, however long"
    activity.leave()
    clock.now = 1009
    assert not activity.close_if_idle()
    clock.now = 1010
    assert activity.close_if_idle()


def test_nobody_is_let_in_once_the_end_is_decided() -> None:
    activity = Activity(0, working=lambda: False, on_idle=lambda: None)
    assert activity.close_if_idle()
    assert isinstance(activity.enter(), OrchestratorUnavailable)


def test_a_request_is_let_in_or_the_end_is_decided_never_both() -> None:
    for _ in range(200):
        activity = Activity(0, working=lambda: False, on_idle=lambda: None)
        with ThreadPoolExecutor(2) as both:
            refusal = both.submit(activity.enter)
            ended = both.submit(activity.close_if_idle)
        assert ended.result() == (refusal.result() is not None)
