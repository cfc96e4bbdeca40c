"""The queue: order, fencing, exactly-once recording."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from makers import MODEL
from measurements import measurement

from mysticanvas.contracts import ids
from mysticanvas.contracts.jobs import JobStatus
from mysticanvas.contracts.problem import Problem
from mysticanvas.errors import InvalidRequest, NotFound, StoreError, WorkerCrashed
from mysticanvas.home import HomePaths
from mysticanvas.store import Store

DUPLICATE = r"(?i)duplicate key"
UNKNOWN = "0190b2c4-7a11-7c3e-9d52-3f6e8a1b4c5d"
"""An id that nothing has."""

CRASH = Problem.of(WorkerCrashed("The image worker ended."), "req-1")


def test_a_job_comes_back_as_it_was_added(store: Store, maker: Any) -> None:
    record = maker.job(project="castle", priority="background")
    task = maker.task(record)

    added, created = store.jobs.add(record, '{"kind": "generate"}', task, "key")

    assert created
    assert added.record == record
    assert added.task == task
    assert store.jobs.get(record.id) == added


def test_a_known_key_gives_the_job_that_has_it(store: Store, maker: Any) -> None:
    first, second = maker.job(), maker.job()
    store.jobs.add(first, "{}", maker.task(first), "key")

    again, created = store.jobs.add(second, "{}", maker.task(second), "key")

    assert not created
    assert again.record.id == first.id
    with pytest.raises(NotFound):
        store.jobs.get(second.id)


def test_one_key_makes_one_job_however_many_threads_use_it(store: Store, maker: Any) -> None:
    records = [maker.job() for _ in range(32)]
    with ThreadPoolExecutor(8) as pool:
        results = list(
            pool.map(lambda job: store.jobs.add(job, "{}", maker.task(job), "key"), records)
        )

    assert sum(created for _, created in results) == 1
    assert len({stored.record.id for stored, _ in results}) == 1


def test_jobs_without_a_key_are_all_different(store: Store, maker: Any) -> None:
    assert maker.added(store).record.id != maker.added(store).record.id
    assert store.jobs.page(status=JobStatus.QUEUED).total == 2


def test_an_id_cannot_be_used_twice(store: Store, maker: Any) -> None:
    record = maker.job()
    store.jobs.add(record, "{}", None)
    with pytest.raises(StoreError, match=DUPLICATE):
        store.jobs.add(record, "{}", None)
    assert store.jobs.page().total == 1


def test_claims_follow_priority_then_order(store: Store, maker: Any) -> None:
    late = maker.added(store, priority="background").record.id
    later = maker.added(store, priority="background").record.id
    first = maker.added(store).record.id
    second = maker.added(store).record.id
    assert [store.jobs.position(job) for job in (first, second, late, later)] == [0, 1, 2, 3]

    claimed = [store.jobs.claim() for _ in range(5)]

    assert [job and job.record.id for job in claimed] == [first, second, late, later, None]
    assert all(job is None or job.record.status is JobStatus.RUNNING for job in claimed)
    assert store.jobs.position(first) is None


def test_a_claim_starts_an_attempt(store: Store, maker: Any) -> None:
    added = maker.added(store)
    claimed = store.jobs.claim()
    assert claimed is not None
    assert claimed.task == added.task
    assert claimed.record.attempts == 1
    assert claimed.record.started_at is not None
    assert store.jobs.interrupted() == [claimed]


def test_a_requeued_job_waits_for_its_time(store: Store, maker: Any) -> None:
    job = maker.added(store).record.id
    store.jobs.claim()
    assert store.jobs.next_due_s() is None

    assert store.jobs.requeue(job, 1, delay_s=20)

    assert store.jobs.claim() is None
    assert 10 < (store.jobs.next_due_s() or 0) <= 20
    assert store.jobs.get(job).record.status is JobStatus.QUEUED


def test_a_requeued_job_without_delay_is_next_again(store: Store, maker: Any) -> None:
    job = maker.added(store).record.id
    maker.added(store)
    store.jobs.claim()

    assert store.jobs.requeue(job, 1)

    assert store.jobs.next_due_s() == 0
    again = store.jobs.claim()
    assert again is not None
    assert (again.record.id, again.record.attempts) == (job, 2)


def test_success_records_pictures_and_status_together(store: Store, maker: Any) -> None:
    job = maker.added(store).record.id
    store.jobs.claim()
    made = maker.batch(job, 3)

    record = store.jobs.succeed(job, 1, made)

    assert record is not None
    assert record.status is JobStatus.SUCCEEDED
    assert record.finished_at is not None
    assert [image.id for image in record.images] == [image.id for image in made]
    assert store.jobs.get(job).record == record
    assert store.jobs.page().items == [record]


def test_what_cannot_be_recorded_leaves_the_job_running(store: Store, maker: Any) -> None:
    job = maker.added(store).record.id
    store.jobs.claim()
    made = [maker.image(job), maker.image(job)]  # both at index 0

    with pytest.raises(StoreError, match=DUPLICATE):
        store.jobs.succeed(job, 1, made)

    assert store.jobs.get(job).record.status is JobStatus.RUNNING
    assert store.images.count() == 0
    assert store.jobs.succeed(job, 1, made[:1]) is not None


def test_what_a_job_took_is_kept_with_its_end_and_by_the_attempt_that_counts(
    store: Store, maker: Any
) -> None:
    done, failed = maker.added(store).record.id, maker.added(store).record.id
    store.jobs.claim()
    store.jobs.claim()
    took, ran_out = measurement(job_id=done), measurement(job_id=failed, at_least=True)
    assert store.jobs.succeed(done, 2, [], measured=[took]) is None
    twice = [maker.image(done), maker.image(done)]
    with pytest.raises(StoreError, match=DUPLICATE):
        store.jobs.succeed(done, 1, twice, measured=[took])
    assert store.measurements.newest(10) == []

    assert store.jobs.succeed(done, 1, twice[:1], measured=[took])
    assert store.jobs.finish(failed, 1, JobStatus.FAILED, CRASH, measured=[ran_out])
    assert store.measurements.newest(10) == [took, ran_out]


def test_a_reproduction_can_match_without_a_picture(store: Store, maker: Any) -> None:
    job = maker.added(store, kind="reproduce").record.id
    store.jobs.claim()
    record = store.jobs.succeed(job, 1, [], matched=True)
    assert record is not None
    assert record.matched is True
    assert record.images == []


def test_a_late_attempt_is_refused(store: Store, maker: Any) -> None:
    job = maker.added(store).record.id
    store.jobs.claim()
    store.jobs.requeue(job, 1)
    store.jobs.claim()

    assert store.jobs.succeed(job, 1, maker.batch(job, 1)) is None
    assert store.jobs.finish(job, 1, JobStatus.FAILED, CRASH) is None
    assert not store.jobs.requeue(job, 1)

    assert store.images.count() == 0
    assert store.jobs.succeed(job, 2, maker.batch(job, 1)) is not None


def test_a_job_that_waits_cannot_be_ended_by_an_attempt(store: Store, maker: Any) -> None:
    job = maker.added(store).record.id
    assert store.jobs.finish(job, 0, JobStatus.FAILED, CRASH) is None
    assert store.jobs.get(job).record.status is JobStatus.QUEUED


def test_a_failure_keeps_its_error(store: Store, maker: Any) -> None:
    job = maker.added(store).record.id
    store.jobs.claim()
    record = store.jobs.finish(job, 1, JobStatus.FAILED, CRASH)
    assert record is not None
    assert record.error == CRASH
    assert store.jobs.get(job).record == record


def test_only_a_waiting_job_is_cancelled_here(store: Store, maker: Any) -> None:
    waiting, running = maker.added(store, priority="background"), maker.added(store)
    store.jobs.claim()

    cancelled = store.jobs.cancel_queued(waiting.record.id)

    assert cancelled is not None
    assert cancelled.status is JobStatus.CANCELLED
    assert store.jobs.cancel_queued(waiting.record.id) is None
    assert store.jobs.cancel_queued(running.record.id) is None
    assert store.jobs.cancel_queued("no id") is None
    assert store.jobs.claim() is None


def test_a_race_for_the_end_has_one_winner(store: Store, maker: Any) -> None:
    for _ in range(10):
        job = maker.added(store).record.id
        store.jobs.claim()
        made = maker.batch(job, 2)
        gate = threading.Barrier(4)

        def end(
            how: str, job: str = job, made: Any = made, gate: threading.Barrier = gate
        ) -> object:
            gate.wait()
            if how == "succeed":
                return store.jobs.succeed(job, 1, made)
            if how == "requeue":
                return store.jobs.requeue(job, 1, delay_s=20) or None
            status = JobStatus.FAILED if how == "fail" else JobStatus.CANCELLED
            return store.jobs.finish(job, 1, status, CRASH)

        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(end, ["succeed", "fail", "cancel", "requeue"]))

        assert sum(result is not None for result in results) == 1
        assert len(store.images.of_job(job)) == (2 if results[0] is not None else 0)
        store.jobs.cancel_queued(job)


def test_every_job_is_claimed_once(store: Store, maker: Any) -> None:
    added = {maker.added(store).record.id for _ in range(24)}
    with ThreadPoolExecutor(6) as pool:
        claimed = list(pool.map(lambda _: store.jobs.claim(), range(30)))
    got = [job.record.id for job in claimed if job is not None]
    assert len(got) == 24
    assert set(got) == added


def test_a_list_is_newest_first_and_filtered(store: Store, maker: Any) -> None:
    maker.recorded(store, project="castle")
    old = maker.added(store).record.id
    new = maker.added(store, project="castle").record.id

    def listed(**filters: Any) -> list[str]:
        return [job.id for job in store.jobs.page(**filters).items]

    assert listed(status=JobStatus.QUEUED) == [new, old]
    assert len(listed(project="castle")) == 2
    assert listed(limit=1) == [new]
    assert len(store.jobs.page(status=JobStatus.SUCCEEDED).items[0].images) == 1
    totals = {status: store.jobs.page(status=status).total for status in JobStatus}
    assert {status: n for status, n in totals.items() if n} == {
        JobStatus.QUEUED: 2,
        JobStatus.SUCCEEDED: 1,
    }


def test_a_job_can_show_the_pictures_of_another(store: Store, maker: Any) -> None:
    made = maker.recorded(store, size=2)
    again = maker.job(status=JobStatus.SUCCEEDED, reused=True)

    stored, _ = store.jobs.add(again, "{}", None, result_of=made.id)

    assert stored.record.images == made.images
    assert stored.record.reused
    assert stored.task is None


def test_a_job_is_found_by_a_part_of_its_id(store: Store, maker: Any) -> None:
    job = maker.added(store).record.id
    other = job[:-4] + ("0000" if job[-4:] != "0000" else "1111")
    maker.added(store, id=other)

    assert store.jobs.find(job).record.id == job
    assert store.jobs.find(ids.short(job)).record.id == job
    assert store.jobs.find(job[-4:].upper()).record.id == job
    with pytest.raises(InvalidRequest, match="only one job"):
        store.jobs.find(job[:12])


@pytest.mark.parametrize("part", ["", "abc", "zzzz", "ffffffff", "%", UNKNOWN, "x" * 36])
def test_a_part_that_no_job_has_is_not_found(store: Store, maker: Any, part: str) -> None:
    maker.added(store)
    with pytest.raises(NotFound, match="There is no job"):
        store.jobs.find(part)


def test_old_internal_jobs_are_forgotten_a_few_at_a_time(store: Store, maker: Any) -> None:
    """Those of users stay, those that made a picture, and the newest, whose seq is on record."""
    users = maker.recorded(store).id

    def internal(pictures: int = 0) -> str:
        job = maker.added(store, internal=True).record.id
        store.jobs.claim()
        store.jobs.succeed(job, 1, maker.batch(job, pictures))
        return job

    made = internal(pictures=1)
    old = [internal() for _ in range(3)]
    waiting, newest = maker.added(store, internal=True).record.id, internal()
    later = datetime.now(UTC) + timedelta(days=1)

    assert store.jobs.prune(datetime.now(UTC) - timedelta(days=1), 10) == 0
    assert [store.jobs.prune(later, 2) for _ in range(3)] == [2, 1, 0]

    left = {job.id for job in store.jobs.page(internal=True).items}
    assert left == {users, made, waiting, newest}
    assert not left & set(old)


def test_pages_of_jobs_do_not_shift(store: Store, maker: Any) -> None:
    added = [maker.added(store).record.id for _ in range(5)]
    first = store.jobs.page(2)
    maker.added(store)
    second = store.jobs.page(2, first.next_cursor)
    third = store.jobs.page(2, second.next_cursor)
    assert [job.id for page in (first, second, third) for job in page.items] == added[::-1]
    assert third.next_cursor is None
    with pytest.raises(InvalidRequest, match="another query"):
        store.jobs.page(2, first.next_cursor, project="castle")


def test_what_waits_and_runs_is_known_again_after_a_restart(paths: HomePaths, maker: Any) -> None:
    with Store.open(paths) as store:
        running, waiting = (maker.added(store).record.id for _ in range(2))
        late = maker.added(store, priority="background").record.id
        store.jobs.claim(runner="me")
    with Store.open(paths) as store:
        assert store.jobs.waiting() == 2
        assert [(job.record.id, job.runner) for job in store.jobs.interrupted()] == [
            (running, "me")
        ]
        assert store.jobs.requeue(running, 1, failures=["attempt 1: killed"])
        claimed = [store.jobs.claim() for _ in range(4)]
        assert [job and job.record.id for job in claimed] == [running, waiting, late, None]
        assert claimed[0] is not None
        assert claimed[0] == store.jobs.get(running)
        assert claimed[0].record.failures == ["attempt 1: killed"]
        assert maker.added(store).seq == 4


def test_a_claim_that_fails_leaves_the_job_waiting(
    store: Store, maker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = maker.added(store).record.id
    with monkeypatch.context() as broken:
        broken.setattr(store.database, "write", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.jobs.claim()
    claimed = store.jobs.claim()
    assert claimed is not None
    assert claimed.record.id == job


def test_a_long_queue_of_long_prompts_opens(paths: HomePaths, maker: Any) -> None:
    """All of its tasks at once, parsed, would not fit into the database's memory."""
    prompt = "a red circle, 青い四角 " * 1_000
    recipe = maker.recipe(prompt=prompt, negative_prompt=prompt)
    with Store.open(paths) as store:
        record = maker.job()
        store.jobs.add(record, "{}", maker.task(record, recipe))
        others = "* EXCLUDE number REPLACE (uuid() AS id, seq + number AS seq)"
        with store.database.write() as transaction:
            transaction.run(f"INSERT INTO jobs SELECT {others} FROM jobs, range(1, 600) m(number)")
    with Store.open(paths) as store:
        assert store.jobs.waiting() == 600
        assert store.jobs.pixels_waiting() == 600 * 16 * 8
        assert store.jobs.next_up() == (False, 1, record.id, "generate", None, MODEL.digest, 128)
