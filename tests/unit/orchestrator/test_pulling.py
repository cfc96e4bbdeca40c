"""The process that fetches can be killed at any moment, and knows nothing of ours."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hub as hubs
import psutil
import pytest
from hub import COMMIT, Hub

from mysticanvas.contracts.pulls import PullParams, PullReport
from mysticanvas.errors import InvalidRequest, JobCancelled, NotFound, WorkerCrashed
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator import pulling
from mysticanvas.orchestrator.helper import Helper

WEIGHTS = os.urandom(6 << 20)
SENT, KEPT = 4 << 20, 3 << 20
"""Bytes that a hub sends before it stalls, and that are in the cache of them some time later."""


class Pace:
    """A job; whatever is to happen in it happens at a check."""

    def __init__(self, at_check: Callable[[], None] = lambda: None) -> None:
        self._at_check = at_check
        self.told: list[tuple[float, str]] = []

    def check(self) -> None:
        self._at_check()

    def progress(self, fraction: float, stage: str) -> None:
        self.told.append((fraction, stage))


Run = Callable[..., PullReport]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with hubs.serving({"unet/model.safetensors": WEIGHTS, "config.json": b"{}"}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield running


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(pace: Any = None, **params: Any) -> PullReport:
        given = PullParams.model_validate({"repo_id": "owner/name", **params})
        pulling.check(given)
        return pulling.run(given, LogFile(tmp_path / "pull.jsonl"), pace or Pace())

    return run


@pytest.fixture
def stuck(hub: Hub, tmp_path: Path) -> Callable[[], bool]:
    """Whether the hub sends no more, and what it sent is in the cache but for the last block."""

    def stuck() -> bool:
        begun = (tmp_path / "cache").rglob("*.incomplete")
        return hub.stalled.is_set() and sum(each.stat().st_size for each in begun) >= KEPT

    return stuck


def fetching() -> list[psutil.Process]:
    """The processes that this one has started for it."""
    children = psutil.Process().children()
    return [each for each in children if "mysticanvas.workers.hub" in each.cmdline()]


def test_what_was_fetched_is_told(hub: Hub, run: Run) -> None:
    pace = Pace()
    report = run(pace, repo_id=f"owner/name@{COMMIT}")
    assert report.revision == report.commit == COMMIT
    [model] = report.models
    assert (model.kind, model.layout, model.size) == ("image", "safetensors", len(WEIGHTS))
    fractions = [fraction for fraction, _ in pace.told]
    assert fractions == sorted(fractions)
    assert pace.told[-1] == (1.0, "verify")
    assert fetching() == []


def test_the_hubs_word_is_the_jobs_error(hub: Hub, run: Run) -> None:
    with pytest.raises(NotFound, match="no revision 'v9'"):
        run(revision="v9")
    hub.files = {"a-Q4.gguf": b"GGUF", "a-Q8.gguf": b"GGUF"}
    with pytest.raises(InvalidRequest, match="has 2 models"):
        run()


def test_a_job_that_is_cancelled_ends_at_once_and_goes_on_later(
    hub: Hub, run: Run, stuck: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("OUR_SECRET", "hf_secret")
    hub.stalls_after = SENT
    stopped_at: list[float] = []
    environments: list[dict[str, str]] = []

    def stop() -> None:
        if stuck():
            [process] = fetching()
            environments.append(process.environ())
            stopped_at.append(time.monotonic())
            raise JobCancelled("The job was cancelled.")

    with pytest.raises(JobCancelled):
        run(Pace(stop))
    # While the hub sends nothing, and would not for ten seconds.
    assert time.monotonic() - stopped_at[0] < 5.0
    assert fetching() == []
    assert "hf_secret" not in environments[0].values()
    hub.go_on.set()
    assert run().fetched_bytes <= len(WEIGHTS) - KEPT
    assert hub.ranges
    # What the system had taken in for the one that is gone is sent again.
    assert hub.sent["unet/model.safetensors"] < 2 * len(WEIGHTS)


@pytest.mark.fault("SIGKILL of the process that fetches", "the job goes on where it was")
def test_a_process_that_is_killed_is_followed_by_one_that_goes_on(
    hub: Hub, run: Run, stuck: Callable[[], bool]
) -> None:
    hub.stalls_after = SENT
    killed: list[int] = []

    def kill() -> None:
        if not killed and stuck():
            [process] = fetching()
            killed.append(process.pid)
            process.send_signal(signal.SIGKILL)
            while process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
            hub.go_on.set()

    report = run(Pace(kill))
    assert killed
    assert (Path(report.path) / "unet" / "model.safetensors").read_bytes() == WEIGHTS
    [wanted] = hub.ranges
    assert int(wanted.removeprefix("bytes=").rstrip("-")) >= KEPT
    # What the system had taken in for the one that is gone is sent again.
    assert hub.sent["unet/model.safetensors"] < 2 * len(WEIGHTS)


@pytest.mark.fault("SIGSTOP of the process that fetches", "another goes on where it was")
def test_a_process_that_hangs_is_followed_by_one_that_goes_on(
    hub: Hub, run: Run, stuck: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.stalls_after = SENT
    patient_s, stopped = pulling.SILENT_S, list[psutil.Process]()

    def stop() -> None:
        if not stopped and stuck():
            stopped.extend(fetching())
            stopped[0].send_signal(signal.SIGSTOP)
            hub.go_on.set()
        hangs = bool(stopped) and stopped[0].is_running()
        monkeypatch.setattr(pulling, "SILENT_S", 0.5 if hangs else patient_s)

    report = run(Pace(stop))
    assert len(stopped) == 1
    assert not stopped[0].is_running()
    assert (Path(report.path) / "unet" / "model.safetensors").read_bytes() == WEIGHTS
    [wanted] = hub.ranges
    assert int(wanted.removeprefix("bytes=").rstrip("-")) >= KEPT


def test_one_that_waits_for_the_hub_says_that_it_is_there(
    hub: Hub, run: Run, stuck: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.stalls_after = SENT
    heard: list[object] = []
    poll = Helper.poll

    def listen(helper: Any, timeout_s: float) -> Any:
        news = poll(helper, timeout_s)
        if news is not None and stuck() and not hub.go_on.is_set():
            heard.append(news.done)
            if len(heard) > 1:
                hub.go_on.set()
        return news

    monkeypatch.setattr(Helper, "poll", listen)
    run()
    assert len(heard) >= 2


def test_processes_that_are_lost_without_a_byte_are_not_followed_for_ever(
    hub: Hub, run: Run
) -> None:
    hub.stalls_after = 0
    killed: set[int] = set()

    def kill() -> None:
        for process in fetching():
            if process.pid not in killed and hub.stalled.is_set():
                killed.add(process.pid)
                process.send_signal(signal.SIGKILL)

    with pytest.raises(WorkerCrashed, match=r"was lost 3 times: it ended by SIGKILL"):
        run(Pace(kill))
    assert len(killed) == 3


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"repo_id": "no-owner"}, "repo_id"),
        ({"repo_id": "owner/../name"}, "repo_id"),
        ({"repo_id": "owner/name@a", "revision": "b"}, "revision"),
        ({"revision": "a b"}, "revision"),
    ],
)
def test_what_is_no_repository_is_refused(params: dict[str, str], names: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        pulling.check(PullParams.model_validate({"repo_id": "owner/name", **params}))
    assert caught.value.parameter == names
