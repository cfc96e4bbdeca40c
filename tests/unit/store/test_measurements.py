"""What jobs took of the memory is kept in order, and bounded."""

from __future__ import annotations

import threading

import pytest
from measurements import MIB, NOON, measurement

from mysticanvas.contracts.measurements import MAX_MEASUREMENTS
from mysticanvas.home import HomePaths
from mysticanvas.store import Store
from mysticanvas.store.measurements import Measurements


def test_a_measurement_comes_back_as_it_was(store: Store, paths: HomePaths) -> None:
    given = [
        measurement(mitigations=("vae_slicing", "vae_tiling"), at_least=True, created_at=NOON),
        measurement(projected=None, corrected=None, projected_weights=None, run_seconds=None),
    ]
    store.measurements.add(given)
    assert store.measurements.newest(10) == given
    store.close()
    with Store.open(paths) as again:
        again.measurements.add([measurement(job_id="later")])
        assert [each.job_id for each in again.measurements.newest(10)] == ["job", "job", "later"]


def test_the_newest_of_a_key_are_oldest_first(store: Store) -> None:
    for n in range(4):
        of_job = {"job_id": f"job {n}", "actual": n}
        store.measurements.add([measurement(key=key, **of_job) for key in "ab"])
    assert [each.actual for each in store.measurements.of_key("b", 3)] == [1, 2, 3]
    assert [each.actual for each in store.measurements.newest(3)] == [2, 2, 3, 3]
    assert store.measurements.of_key("c", 3) == []


def test_jobs_of_a_kind_count_once_each_newest_first(store: Store) -> None:
    for n in range(1, 5):
        of_job = {"job_id": f"job {n}", "run_seconds": float(n)}
        store.measurements.add([measurement(**of_job), measurement(phase="vae_decode", **of_job)])
    store.measurements.add([measurement(job_id="failed", run_seconds=None)])
    assert store.measurements.seconds("r", 3) == [4.0, 3.0, 2.0]
    assert store.measurements.seconds("another", 3) == []


def test_the_oldest_run_that_is_told_comes_whole(store: Store) -> None:
    for job in ("a", "b"):
        store.measurements.add([measurement(job_id=job, actual=each) for each in (1, 2, 3)])
        store.measurements.add([measurement(job_id=job, attempt=2, actual=4)])
    told = [(each.job_id, each.attempt) for each in store.measurements.newest(3)]
    assert told == [("b", 1)] * 3 + [("b", 2)]
    assert len(store.measurements.newest(1)) == 1
    assert len(store.measurements.newest(5)) == 5
    assert len(store.measurements.newest(7)) == 8


def test_only_the_newest_stay(store: Store) -> None:
    few = Measurements(store.database, kept=10)
    for n in range(40):
        few.add([measurement(actual=n), measurement(actual=n)])
    left = [each.actual for each in few.newest(MAX_MEASUREMENTS)]
    assert 10 <= len(left) <= 20
    assert left[-2:] == [39, 39]


def test_accuracy_is_over_all_and_by_device_and_preset(store: Store) -> None:
    assert store.measurements.accuracy() == []
    store.measurements.add(
        [
            measurement(actual=110 * MIB),
            measurement(actual=80 * MIB),
            measurement(preset="sdxl", device="cuda:A", actual=100 * MIB),
            measurement(preset="none", corrected=None, projected=None),
            measurement(preset="none", at_least=True, actual=900 * MIB),
        ]
    )
    whole, first, second = store.measurements.accuracy()
    assert (whole.device, whole.preset, whole.phases) == (None, None, 3)
    assert whole.mean == pytest.approx((1 / 11 + 1 / 4) / 3)
    assert whole.worst == pytest.approx(1 / 4)
    assert whole.under == pytest.approx(1 / 3)
    assert (first.device, first.preset, first.phases, first.under) == ("cpu", "sd15", 2, 0.5)
    assert (second.device, second.preset, second.mean) == ("cuda:A", "sdxl", 0.0)


def test_threads_that_add_at_once_lose_nothing(store: Store) -> None:
    def add() -> None:
        for _ in range(20):
            store.measurements.add([measurement()])

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = store.database.read("SELECT count(DISTINCT seq) AS n FROM memory_measurements")
    assert numbers == [{"n": 80}]
