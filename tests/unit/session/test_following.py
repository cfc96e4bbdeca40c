from collections.abc import Callable
from typing import Any

import pytest

from mysticanvas import NotFound, OrchestratorUnavailable
from mysticanvas.contracts.events import Event
from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.jobs import JobPage
from mysticanvas.session.following import Following, Paused

MakeJob = Callable[..., Any]


def job_event(record: Any, seq: int = 1) -> Event:
    return Event(epoch="e", seq=seq, type="job", data=record.model_dump(mode="json"))


def unexpected(what: str | None) -> Any:
    raise AssertionError(f"nobody asked for {what}")


def test_an_event_that_comes_before_the_answer_counts(make_job: MakeJob) -> None:
    following = Following(unexpected, unexpected)
    following.take(job_event(make_job("succeeded")))
    assert following.follow(make_job("queued")).record.status == "succeeded"


def test_so_does_an_answer_that_comes_before_the_event(make_job: MakeJob) -> None:
    following = Following(unexpected, unexpected)
    following.take(job_event(make_job("queued")))
    assert following.follow(make_job("running")).record.status == "running"


def test_events_reach_the_job_that_they_are_about(make_job: MakeJob) -> None:
    following = Following(unexpected, unexpected)
    mine, other = following.follow(make_job()), following.follow(make_job(id=new_id()))
    following.take(job_event(make_job("running")))
    data = {"job_id": mine.record.id, "stage": "denoise", "fraction": 0.5}
    following.take(Event(epoch="e", type="progress", data=data))
    assert (mine.record.status, mine.snapshot.progress.fraction) == ("running", 0.5)
    assert (other.record.status, other.snapshot.progress.fraction) == ("queued", 0.0)


def test_all_who_hold_a_job_share_a_tracker(make_job: MakeJob) -> None:
    following = Following(unexpected, unexpected)
    tracker = following.follow(make_job())
    assert following.follow(make_job("running")) is tracker
    assert tracker.record.status == "running"


@pytest.mark.parametrize("gap", ["hello", "resync"])
def test_after_a_gap_what_is_unfinished_is_fetched(make_job: MakeJob, gap: Any) -> None:
    asked: list[str] = []

    def fetch(job_id: str) -> Any:
        asked.append(job_id)
        return make_job("succeeded")

    following = Following(fetch, unexpected)
    unfinished = following.follow(make_job("running"))
    finished = following.follow(make_job("failed", id=new_id()))
    following.take(Event(epoch="e", type=gap))
    assert asked == [unfinished.record.id]
    assert (unfinished.record.status, finished.record.status) == ("succeeded", "failed")


def test_behind_the_hello_of_an_orchestrator_that_is_known_comes_what_was_missed(
    make_job: MakeJob,
) -> None:
    asked: list[str] = []

    def fetch(job_id: str) -> Any:
        asked.append(job_id)
        return make_job(id=job_id)

    following = Following(fetch, unexpected)
    held = following.follow(make_job())
    for epoch in ("e", "e", "another", "another"):
        following.take(Event(epoch=epoch, type="hello"))
    assert asked == [held.record.id] * 2


def test_of_a_queue_that_is_paused_all_who_wait_are_told_without_a_call(make_job: MakeJob) -> None:
    following = Following(unexpected, unexpected)
    waiting = [following.follow(make_job(id=new_id())) for _ in range(3)]
    running = following.follow(make_job("running", id=new_id()))
    for paused in (True, False):
        data = {"queued": 3, "running": 1, "paused": paused}
        following.take(Event(epoch="e", seq=1, type="queue", data=data))
        assert [tracker.record.paused for tracker in waiting] == [paused] * 3
        assert not running.record.paused


def test_many_are_found_on_pages_and_only_what_is_not_there_is_asked_for(
    make_job: MakeJob,
) -> None:
    """At most as many pages are looked at as cost what asking for each would."""
    calls: list[str | None] = []
    held = [make_job(id=new_id()) for _ in range(50)]
    pages = {None: held[:20], "1": [make_job(id=new_id())], "2": held[20:40], "3": held[40:]}

    def page(cursor: str | None) -> JobPage:
        calls.append(cursor)
        items = [make_job("running", id=each.id) for each in pages[cursor]]
        return JobPage(items=items, next_cursor=str(int(cursor or 0) + 1), total=51)

    def fetch(job_id: str) -> Any:
        calls.append(job_id)
        return make_job("running", id=job_id)

    following = Following(fetch, page)
    trackers = [following.follow(record) for record in held]
    following.take(Event(epoch="e", type="hello"))
    assert calls == [None, "1", "2", *(record.id for record in held[40:])]
    assert {tracker.record.status for tracker in trackers} == {"running"}


def test_where_no_page_can_be_had_each_is_asked_for(make_job: MakeJob) -> None:
    def page(cursor: str | None) -> JobPage:
        raise OrchestratorUnavailable("It is busy.")

    following = Following(lambda job_id: make_job("running", id=job_id), page)
    trackers = [following.follow(make_job(id=new_id())) for _ in range(20)]
    following.take(Event(epoch="e", type="resync"))
    assert {tracker.record.status for tracker in trackers} == {"running"}


@pytest.mark.parametrize(("epoch", "attempts"), [("another", 1), ("e", 3)])
def test_another_orchestrator_may_know_an_earlier_time(
    make_job: MakeJob, epoch: str, attempts: int
) -> None:
    """Its home was restored from a backup."""
    following = Following(lambda _: make_job("running", attempts=1), unexpected)
    following.take(Event(epoch="e", type="hello"))
    tracker = following.follow(make_job("running", attempts=3))
    following.take(Event(epoch=epoch, type="hello"))
    assert tracker.record.attempts == attempts


def test_what_nobody_follows_yet_is_forgotten_with_its_orchestrator(make_job: MakeJob) -> None:
    following = Following(unexpected, unexpected)
    following.take(Event(epoch="e", type="hello"))
    following.take(job_event(make_job("succeeded")))
    following.take(Event(epoch="another", type="hello"))
    assert following.follow(make_job("queued")).record.status == "queued"


def test_without_a_stream_only_jobs_that_somebody_waits_for_are_fetched(make_job: MakeJob) -> None:
    asked: list[str] = []

    def fetch(job_id: str) -> Any:
        asked.append(job_id)
        return make_job("running", id=job_id)

    following = Following(fetch, unexpected)
    waited, left = following.follow(make_job()), following.follow(make_job(id=new_id()))
    future = waited.future()
    following.tick(connected=False)
    assert asked == [waited.record.id]
    following.tick(connected=True)
    assert len(asked) == 1, "it was heard of a moment ago"
    waited.heard_at -= 60
    following.tick(connected=True)
    assert len(asked) == 2
    future.cancel()
    assert left.record.status == "queued"


def test_while_events_arrive_the_longest_silent_are_asked_after_a_few_at_a_time(
    make_job: MakeJob,
) -> None:
    asked: list[str] = []

    def fetch(job_id: str) -> Any:
        asked.append(job_id)
        return make_job(id=job_id)

    following = Following(fetch, unexpected)
    trackers = [following.follow(make_job(id=new_id())) for _ in range(12)]
    futures = [tracker.future() for tracker in trackers]
    for age, tracker in enumerate(trackers):
        tracker.heard_at -= 60 + age
    eldest_first = [tracker.record.id for tracker in reversed(trackers)]
    following.tick(connected=True)
    assert asked == eldest_first[:8]
    following.tick(connected=True)
    assert asked == eldest_first
    assert not any(future.done() for future in futures)


def test_what_cannot_be_fetched_ends_the_waiting(make_job: MakeJob) -> None:
    def fetch(job_id: str) -> Any:
        raise NotFound(f"There is no job {job_id}.")

    following = Following(fetch, unexpected)
    tracker = following.follow(make_job())
    future = tracker.future()
    following.tick(connected=False)
    with pytest.raises(NotFound):
        future.result(0)
    assert tracker.record.status == "queued"


def test_in_a_pause_whoever_waits_waits_on(make_job: MakeJob) -> None:
    asked: list[str] = []

    def fetch(job_id: str) -> Any:
        asked.append(job_id)
        raise Paused

    following = Following(fetch, unexpected)
    jobs = [following.follow(make_job(id=new_id())) for _ in range(2)]
    futures = [job.future() for job in jobs]
    following.tick(connected=False)
    assert len(asked) == 1
    assert not any(future.done() for future in futures)


def test_an_alert_reaches_every_job_that_is_not_over(make_job: MakeJob) -> None:
    following = Following(unexpected, unexpected)
    waiting, over = following.follow(make_job()), following.follow(make_job("failed", id=new_id()))
    following.take(Event(epoch="e", seq=1, type="alert", data={"message": "The worker died."}))
    assert waiting.snapshot.alerts == ("The worker died.",)
    assert over.snapshot.alerts == ()


def test_closing_ends_the_waiting_for_jobs_held_and_for_those_that_come(make_job: MakeJob) -> None:
    following = Following(unexpected, unexpected)
    held = following.follow(make_job("running"))
    waiting = held.future()
    over = following.follow(make_job("succeeded", id=new_id()))
    following.close()
    late = following.follow(make_job("queued", id=new_id()))
    for future in (waiting, late.future()):
        with pytest.raises(OrchestratorUnavailable, match="closed"):
            future.result(0)
    assert over.future().result(0).status == "succeeded"


def test_pictures_that_were_there_are_told_beside_the_job_that_made_them(make_job: MakeJob) -> None:
    following = Following(unexpected, unexpected)
    made = following.follow(make_job("succeeded", attempts=1))
    found = following.follow(make_job("succeeded", attempts=0, reused=True))
    assert found.future().result(0).reused
    assert (made.record.reused, made.record.attempts) == (False, 1)
    del made
    assert following.follow(make_job("succeeded", attempts=1)).record.attempts == 1
