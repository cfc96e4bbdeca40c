import base64
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import pytest

from mysticanvas import OrchestratorUnavailable
from mysticanvas.contracts.events import Event
from mysticanvas.session.tracker import JobTracker

MakeJob = Callable[..., Any]


def progress(fraction: float) -> Event:
    return Event(epoch="e", type="progress", data={"stage": "denoise", "fraction": fraction})


def test_a_final_record_is_never_replaced(make_job: MakeJob) -> None:
    tracker = JobTracker(make_job("running"))
    tracker.update(make_job("succeeded"))
    tracker.update(make_job("running"))
    assert tracker.record.status == "succeeded"


ORDER = (("queued", 0), ("running", 1), ("queued", 1), ("running", 2), ("succeeded", 2))
"""A job whose first attempt did not get to its end."""


@pytest.mark.parametrize("second", range(len(ORDER)))
@pytest.mark.parametrize("first", range(len(ORDER)))
def test_what_was_overtaken_replaces_nothing(make_job: MakeJob, first: int, second: int) -> None:
    status, attempts = ORDER[first]
    tracker = JobTracker(make_job(status, attempts=attempts))
    heard: list[Event | None] = []
    tracker.listen(heard.append)
    status, attempts = ORDER[second]
    tracker.update(make_job(status, attempts=attempts))
    assert (tracker.record.status, tracker.record.attempts) == ORDER[max(first, second)]
    if second < first:
        assert [event.data["status"] for event in heard if event] == [ORDER[first][0]]


def test_what_is_doubted_is_replaced_once_unless_it_is_final(make_job: MakeJob) -> None:
    """As by the record of a backup, which has fewer attempts."""
    tracker = JobTracker(make_job("running", attempts=3))
    tracker.doubt()
    tracker.update(make_job("running", attempts=1))
    assert tracker.record.attempts == 1
    tracker.update(make_job("queued", attempts=0))
    assert tracker.record.attempts == 1
    tracker.update(make_job("succeeded", attempts=1))
    tracker.doubt()
    tracker.update(make_job("queued", attempts=0))
    assert tracker.record.status == "succeeded"


def test_progress_goes_on_after_an_answer_that_was_overtaken(make_job: MakeJob) -> None:
    tracker = JobTracker(make_job())
    tracker.update(make_job("running"))
    tracker.advance(progress(0.5))
    tracker.update(make_job())
    assert tracker.snapshot.progress.fraction == 0.5
    tracker.advance(progress(0.75))
    assert tracker.snapshot.progress.fraction == 0.75


def test_the_seconds_left_come_with_progress_and_go_with_the_attempt(make_job: MakeJob) -> None:
    tracker = JobTracker(make_job("running"))
    told = progress(0.5)
    tracker.advance(told.model_copy(update={"data": {**told.data, "eta_s": 14}}))
    assert tracker.snapshot.eta_s == 14
    tracker.update(make_job(attempts=1))
    assert tracker.snapshot.eta_s is None


def test_everybody_who_waits_gets_the_final_record(make_job: MakeJob) -> None:
    tracker = JobTracker(make_job())
    futures = [tracker.future(), tracker.future()]
    tracker.update(make_job("running"))
    assert not any(future.done() for future in futures)
    tracker.update(make_job("failed"))
    assert [future.result(0).status for future in (*futures, tracker.future())] == ["failed"] * 3


def test_whoever_stops_waiting_is_not_waited_for(make_job: MakeJob) -> None:
    tracker = JobTracker(make_job())
    assert not tracker.waited_for
    future = tracker.future()
    assert tracker.waited_for
    future.cancel()
    assert not tracker.waited_for
    tracker.update(make_job("succeeded"))
    with pytest.raises(CancelledError):
        future.result(0)


def test_an_error_goes_to_those_who_wait_now_and_the_job_goes_on(make_job: MakeJob) -> None:
    tracker = JobTracker(make_job("running"))
    waiting = tracker.future()
    heard: list[Event | None] = []
    tracker.listen(heard.append)
    tracker.fail(OrchestratorUnavailable("gone"))
    with pytest.raises(OrchestratorUnavailable):
        waiting.result(0)
    assert heard[-1] is None
    later = tracker.future()
    tracker.update(make_job("succeeded"))
    assert later.result(0).status == "succeeded"


def test_a_closed_canvas_ends_the_waiting_now_and_later(make_job: MakeJob) -> None:
    tracker = JobTracker(make_job("running"))
    heard: list[Event | None] = []
    tracker.listen(heard.append)
    waiting = tracker.future()
    tracker.close()
    for future in (waiting, tracker.future()):
        with pytest.raises(OrchestratorUnavailable, match="closed") as closed:
            future.result(0)
        assert f"Canvas().job('{tracker.record.id[-8:]}')" in closed.value.hint
    tracker.listen(heard.append)
    assert [event and event.type for event in heard] == ["job", None, "job", None]


def test_an_end_that_is_known_is_told_after_the_canvas_is_closed(make_job: MakeJob) -> None:
    tracker = JobTracker(make_job("succeeded"))
    tracker.close()
    assert tracker.future().result(0).status == "succeeded"


def test_a_listener_hears_the_present_then_everything_then_the_end(make_job: MakeJob) -> None:
    tracker = JobTracker(make_job("running"))
    heard: list[Event | None] = []
    stop = tracker.listen(heard.append)
    tracker.advance(progress(0.5))
    final = make_job("succeeded")
    tracker.update(final, Event(epoch="e", seq=9, type="job", data=final.model_dump(mode="json")))
    assert [event and event.type for event in heard] == ["job", "progress", "job", None]
    assert heard[0].data["status"] == "running"
    assert heard[2].seq == 9
    stop()
    assert not tracker.waited_for


def test_a_listener_of_a_finished_job_hears_its_state_and_the_end(make_job: MakeJob) -> None:
    heard: list[Event | None] = []
    JobTracker(make_job("failed")).listen(heard.append)
    assert [event and event.data["status"] for event in heard] == ["failed", None]


def test_a_change_that_was_fetched_is_an_event_too(make_job: MakeJob) -> None:
    tracker = JobTracker(make_job("queued"))
    heard: list[Event | None] = []
    tracker.listen(heard.append)
    tracker.update(make_job("queued"))
    tracker.update(make_job("running"))
    assert [event.data["status"] for event in heard if event] == ["queued", "running"]


def test_progress_and_the_newest_preview_are_in_the_snapshot(make_job: MakeJob) -> None:
    tracker = JobTracker(make_job("running"))
    assert tracker.snapshot.progress.fraction == 0
    assert tracker.snapshot.preview is None
    tracker.advance(progress(0.25))
    webp = base64.b64encode(b"picture").decode()
    tracker.advance(Event(epoch="e", type="preview", data={"step": 1, "webp": webp}))
    tracker.advance(Event(epoch="e", type="preview", data={"step": 2, "webp": "not base64!"}))
    assert tracker.snapshot.progress.fraction == 0.25
    assert tracker.snapshot.preview == b"picture"


@pytest.mark.parametrize("again", ["queued", "running"])
def test_an_attempt_has_nothing_of_the_one_before(make_job: MakeJob, again: str) -> None:
    tracker = JobTracker(make_job("running", attempts=1))
    tracker.advance(progress(0.6))
    webp = base64.b64encode(b"half a picture").decode()
    tracker.advance(Event(epoch="e", type="preview", data={"webp": webp}))
    tracker.update(make_job("running", attempts=1))
    assert tracker.snapshot.progress.fraction == 0.6
    tracker.update(make_job(again, attempts=1 if again == "queued" else 2))
    if again == "queued":
        tracker.advance(progress(0.7))
    assert tracker.snapshot.progress.fraction == 0.0
    assert tracker.snapshot.preview is None
