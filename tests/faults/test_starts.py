"""An orchestrator that is killed, stopped or ends at each stage of its start."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import processes_of

from mysticanvas import Canvas, OrchestratorUnavailable
from mysticanvas.locks import FileLock
from mysticanvas.processes import child_environment
from mysticanvas.session import launch
from mysticanvas.settings import HomePaths

STAGES = ("before lock", "after lock", "after store", "before runtime file", "after runtime file")
ACTIONS = ("kill", "stop", "exit")
FAULTS = [(stage, action) for stage in STAGES for action in ACTIONS]
GONE_S = 30.0


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    for process in processes_of(home):
        process.kill()


def wait_gone(home: Path) -> None:
    deadline = time.monotonic() + GONE_S
    while processes_of(home):
        assert time.monotonic() < deadline, processes_of(home)
        time.sleep(0.05)


def chosen(count: int) -> list[tuple[str, str]]:
    """All in the long run; otherwise a few, each stage and each action among them."""
    return FAULTS if count > len(FAULTS) else FAULTS[:: len(ACTIONS) + 1] + FAULTS[-2:-1]


@pytest.mark.timeout(0)
def test_a_start_that_fails_at_any_stage_is_told_and_the_next_one_works(
    home: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = HomePaths.of(home)
    for stage, action in chosen(count):
        with monkeypatch.context() as fault:
            fault.setattr(launch, "MODULE", "start_and_fail")
            environment = {"PYTHONPATH": str(Path(__file__).parent), "FAULT": f"{stage}:{action}"}
            fault.setattr(
                launch,
                "child_environment",
                lambda extra, more=environment: child_environment({**extra, **more}),
            )
            patience_s = "10" if action == "stop" else "120"
            fault.setenv("MYSTICANVAS_START_TIMEOUT_S", patience_s)
            told = "did not answer" if action == "stop" else "ended before it answered"
            with pytest.raises(OrchestratorUnavailable, match=told):
                Canvas(home=home)
        wait_gone(home)
        lock = FileLock(paths.start_lock)
        assert lock.acquire(), (stage, action)
        lock.release()
    with Canvas(home=home) as canvas:
        assert canvas.images().total == 0
        canvas.shutdown()
    assert not paths.runtime_file.exists()
