"""Files that are there and pictures that wait or run count against the quota together."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mysticanvas_echo import make_model

from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.jobs import GenerateRequest, JobRecord
from mysticanvas.contracts.params import parse
from mysticanvas.errors import InvalidRequest, StoreFull
from mysticanvas.orchestrator import quota
from mysticanvas.orchestrator.queue.intake import Accepted, Intake
from mysticanvas.orchestrator.queue.run import Run
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.store import Store
from mysticanvas.store.jobs import Jobs


@pytest.mark.parametrize(
    ("used", "promised", "more", "quota_mib", "fits"),
    [
        (0, 0, 1, None, True), (0, 0, 1 << 20, 1, True), (1, 0, 1 << 20, 1, False),
        (5 << 20, 0, 0, 4, False), (0, 1 << 20, 1 << 20, 2, True), (0, 1 << 20, 1 << 20, 1, False),
    ],
)  # fmt: skip
def test_the_quota(used: int, promised: int, more: int, quota_mib: int | None, fits: bool) -> None:
    if fits:
        quota.check(used, promised, more, quota_mib)
        return
    said = "may add 1.0 MiB.*" if promised else ""
    with pytest.raises(StoreFull, match=f"{said}quota of {quota_mib} MiB.*prune"):
        quota.check(used, promised, more, quota_mib)


def test_what_waits_or_runs_counts_against_the_quota(
    tmp_path: Path, store: Store, transitions: Transitions, bus: Any, limited: Intake
) -> None:
    def ask() -> JobRecord:
        # 192 KiB of pixels.
        params = parse(prompt="a circle", preset=make_model(tmp_path / "m"), width=256, height=256)
        return limited.generate(GenerateRequest(params=params), key=new_id(), request_id="").job

    jobs = [ask() for _ in range(5)]
    with pytest.raises(StoreFull, match=r"may add 0.9 MiB"):
        ask()
    run = transitions.claim(["generate"], lambda job: Run(job, bus))
    assert run is not None
    with pytest.raises(StoreFull, match=r"may add 0.9 MiB"):
        ask()
    transitions.cancel(jobs[-1].id)
    ask()
    reopened = Jobs(store.database, store.images, store.measurements)
    assert reopened.pixels_waiting() == store.jobs.pixels_waiting() == 4 * 256 * 256


def test_a_repeated_request_is_its_job_although_that_has_used_up_the_quota(
    tmp_path: Path, store: Store, limited: Intake
) -> None:
    preset = make_model(tmp_path / "m")

    def ask(key: str, prompt: str = "a circle") -> Accepted:
        # 768 KiB of pixels.
        params = parse(prompt=prompt, preset=preset, width=512, height=512)
        return limited.generate(GenerateRequest(params=params), key, request_id="")

    first = ask("key")
    with pytest.raises(StoreFull):
        ask("another")
    again = ask("key")
    assert (first.created, again.created, again.job.id) == (True, False, first.job.id)
    assert again.job.position == first.job.position
    with pytest.raises(InvalidRequest) as refused:
        ask("key", "a square")
    assert (refused.value.parameter, refused.value.value) == ("Idempotency-Key", "'key'")
    assert len(store.jobs.page(10).items) == 1


def test_many_at_once_do_not_pass_the_quota_together(
    tmp_path: Path, store: Store, transitions: Transitions, limited: Intake
) -> None:
    params = parse(prompt="a circle", preset=make_model(tmp_path / "m"), width=256, height=256)
    request = GenerateRequest(params=params)
    limited.generate(request, key=new_id(), request_id="")
    together = threading.Barrier(8)

    def ask(_: int) -> bool:
        together.wait(60)
        try:
            limited.generate(request, key=new_id(), request_id="")
        except StoreFull:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(ask, range(8))) == 4
