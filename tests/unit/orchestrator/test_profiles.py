"""A model is traced once, and what came of it is kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.tracing import TraceAnswer
from mysticanvas.errors import ModelFileError, StoreFull
from mysticanvas.orchestrator.arbiter import profiles
from mysticanvas.orchestrator.arbiter.profiles import Batches, Profiles, Subject, key_of
from mysticanvas.store import Store
from mysticanvas.vram.image import Surroundings, predict

ONE = Batches.of(1, guided=True)


@pytest.fixture
def subject(tiny_sd: Path) -> Subject:
    return Subject(str(tiny_sd), "a" * 64, "float32", "cpu")


def forbid_tracing(patch: pytest.MonkeyPatch) -> None:
    """From now on, whoever is asked to trace fails."""
    patch.setattr(profiles, "_MODULE", "mysticanvas.no_such_module")


def test_what_was_traced_outlasts_the_process(
    store: Store, subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Profiles(store.profiles).of(subject, [ONE])
    assert found.traced
    with monkeypatch.context() as patch:
        forbid_tracing(patch)
        moved = subject._replace(path=str(tmp_path))
        for later in (Profiles(store.profiles), Profiles(store.profiles)):
            assert later.known(moved, [ONE]) == found
            assert later.of(moved, [ONE, ONE]) == found
            assert later.known(moved, [ONE, Batches.of(2, guided=True)]) is None
            with pytest.raises(ModelFileError, match="broke off"):
                later.of(moved._replace(digest="b" * 64), [ONE])
        # A row that is damaged is as if it were not there, and is replaced.
        key = key_of(subject, ONE)
        whole = store.profiles.get(key)
        store.profiles.save(key, subject.digest, '{"profile": []}')
        assert Profiles(store.profiles).known(subject, [ONE]) is None
    assert Profiles(store.profiles).of(subject, [ONE]) == found
    mended = store.profiles.get(key)
    assert mended is not None
    assert whole is not None
    assert len(mended) == pytest.approx(len(whole), abs=100)


def test_of_a_model_that_was_traced_any_size_is_predicted_without_asking_anybody(
    store: Store, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Profiles(store.profiles)
    known.of(subject, [ONE])
    forbid_tracing(monkeypatch)
    monkeypatch.setattr(store.profiles, "get", lambda _: pytest.fail("the store was asked"))
    times = []
    for side in range(64, 2048, 64):
        began = time.perf_counter()
        profile = known.of(subject, [ONE])
        found = predict(profile, ImageWork(width=side, height=side), Surroundings())
        times.append(time.perf_counter() - began)
        assert found.total_mib > 0
    # The quickest: others may have the processor meanwhile.
    assert min(times) < 1e-3


def test_another_version_of_a_library_is_another_key(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key_of(subject, ONE)
    assert before == key_of(subject._replace(path="/elsewhere", vae="/elsewhere/vae"), ONE)
    assert before != key_of(subject, Batches.of(1, guided=False))
    assert before != key_of(subject._replace(dtype="float16"), ONE)
    monkeypatch.setattr(profiles, "_versions", lambda: {"torch": "0"})
    assert before != key_of(subject, ONE)


def test_what_a_device_was_asked_goes_before_what_is_assumed_of_it(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    assumed = Profiles().of(subject, [ONE])
    of_gpu = subject._replace(device="cuda")
    efficient = assumed.model_copy(update={"device": "cuda", "tokens": 78})

    def ask(_: Batches) -> TraceAnswer:
        return TraceAnswer(profile=efficient, keys=(), seconds=0.1, peak_rss=1)

    known = Profiles()
    guess = known.of(of_gpu, [ONE])
    assert guess.device == "cuda"
    assert known.known(of_gpu, [ONE]) is None
    forbid_tracing(monkeypatch)
    assert known.of(of_gpu, [ONE]) == guess
    # Not what the process assumed: the worker is asked all the same.
    assert known.of(of_gpu, [ONE], ask) == efficient
    assert known.of(of_gpu, [ONE]) == known.known(of_gpu, [ONE]) == efficient


def test_a_store_that_is_full_costs_nothing_but_another_trace(
    store: Store, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def get(self, key: str) -> None:
            return None

        def save(self, key: str, model: str, profile: str) -> None:
            raise StoreFull("The disk is full.")

    full = Profiles(Full())
    found = full.of(subject, [ONE])
    forbid_tracing(monkeypatch)
    assert full.of(subject, [ONE]) == found


def test_a_worker_is_asked_once_for_what_a_job_reserves(subject: Subject) -> None:
    one, two, three = (ImageWork(width=side, height=64) for side in (64, 128, 192))
    asked: list[list[ImageWork]] = []

    def ask(works: Sequence[ImageWork]) -> list[int]:
        asked.append(list(works))
        return [work.width for work in works]

    known = Profiles()
    assert known.reserved(subject, [one]) == {}
    assert known.reserved(subject, [one, two], ask) == {one: 64, two: 128}
    assert known.reserved(subject._replace(path="/elsewhere"), [three, one], ask) == {
        three: 192,
        one: 64,
    }
    assert asked == [[one, two], [three]]
    assert known.reserved(subject, [one]) == {one: 64}
    assert known.reserved(subject._replace(dtype="float16"), [one]) == {}
    # One that cannot tell.
    assert known.reserved(subject._replace(dtype="float16"), [one], lambda _: ()) == {}


def test_what_jobs_reserve_is_known_of_the_newest(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "_REMEMBERED", 2)
    works = [ImageWork(width=side, height=64) for side in (64, 128, 192)]
    known = Profiles()
    for work in works:
        known.reserved(subject, [work], lambda _: [1])
    assert known.reserved(subject, works) == {works[1]: 1, works[2]: 1}


def test_what_jobs_reserve_outlasts_the_process(subject: Subject, store: Store) -> None:
    work = ImageWork(width=64, height=64, tile_px=512)
    assert Profiles(store.profiles).reserved(subject, [work], lambda _: [7]) == {work: 7}
    later = Profiles(store.profiles)
    assert later.reserved(subject, [work]) == {work: 7}
    other = work.model_copy(update={"width": 128})
    assert later.reserved(subject, [work, other], lambda _: [9]) == {work: 7, other: 9}
    assert Profiles(store.profiles).reserved(subject, [other, work]) == {work: 7, other: 9}
    assert Profiles(store.profiles).reserved(subject._replace(dtype="float16"), [work]) == {}


def test_models_that_come_and_go_do_not_fill_the_memory(subject: Subject) -> None:
    known = Profiles()
    for number in range(2000):
        each = subject._replace(digest=f"{number}")
        assert known.reserved(each, [ImageWork(width=64, height=64)]) == {}
    assert len(known._reserved) < 2000
