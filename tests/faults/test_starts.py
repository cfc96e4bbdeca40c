"""Orchestrators that are killed, stopped or end at each stage of their start, kernels that are
killed meanwhile, and many that start one at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from support import processes_of, start_as

from mysticanvas import Canvas, OrchestratorUnavailable, processes, settings as settings_module
from mysticanvas.commands.stop import stop
from mysticanvas.home import HomePaths
from mysticanvas.locks import FileLock
from mysticanvas.session import starting
from mysticanvas.settings import Settings

STAGES = ("before lock", "after lock", "after store", "before runtime file", "after runtime file")
ACTIONS = ("kill", "stop", "exit", "segv")
FAULTS = [(stage, action) for stage in STAGES for action in ACTIONS]
GONE_S = 30.0


def wait_gone(home: Path) -> None:
    deadline = time.monotonic() + GONE_S
    while processes_of(home):
        assert time.monotonic() < deadline, processes_of(home)
        time.sleep(0.05)


def chosen(count: int) -> list[tuple[str, str]]:
    """All in the long run; otherwise a few, each stage and each action among them."""
    return FAULTS if count > len(FAULTS) else FAULTS[:: len(ACTIONS) + 1] + FAULTS[-2:-1]


def kernel(code: str, home: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), str(home)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.timeout(0)
def test_a_start_that_fails_at_any_stage_is_told_and_the_next_one_works(
    home: Path, count: int, faults: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = HomePaths.of(home)
    for stage, action in chosen(count):
        told = "was silent for" if action == "stop" else "ended before it answered"
        with faults.inject(f"{action} of an orchestrator {stage}", "told; nothing is in the way"):
            with monkeypatch.context() as fault:
                start_as(fault, "start_and_fail", FAULT=f"{stage}:{action}")
                patience_s = "10" if action == "stop" else "120"
                fault.setenv("MYSTICANVAS_START_TIMEOUT_S", patience_s)
                with pytest.raises(OrchestratorUnavailable, match=told):
                    Canvas(home=home)
            wait_gone(home)
            lock = FileLock(paths.start_lock)
            assert lock.acquire()
            lock.release()
    with Canvas(home=home) as canvas:
        assert canvas.images().total == 0
        canvas.shutdown()
    assert not paths.runtime_file.exists()


@pytest.mark.timeout(0)
def test_one_that_hangs_in_its_start_without_its_kernel_is_ended_by_force(
    home: Path, few: int, faults: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernel would end it; where that is gone, everybody is told how to."""
    # It is asked to end first, which it does not hear.
    monkeypatch.setattr(settings_module, "_LAST_WORK_S", 0.0)
    settings = Settings.load({}, home=home, start_timeout_s=0.2, stop_timeout_s=0.5)
    for _ in range(few):
        for stage in STAGES[1:-1]:
            outcome = "named, and ended by force; the next one works"
            with (
                monkeypatch.context() as fault,
                faults.inject(f"SIGSTOP {stage} without a kernel", outcome),
            ):
                start_as(fault, "start_and_fail", FAULT=f"{stage}:stop")
                environment = starting.child_environment(settings.to_environ())
                spawned = processes.spawn(
                    starting.MODULE,
                    ["--home", str(home)],
                    environment=environment,
                    log=home.with_name("output"),
                )
                pid = spawned.process.pid
                os.waitid(os.P_PID, pid, os.WSTOPPED)
                with pytest.raises(OrchestratorUnavailable, match=f"Process {pid} has") as told:
                    stop(settings, force=False)
                assert "stop --force" in told.value.hint
                assert stop(settings, force=True).killed
                assert spawned.process.wait(GONE_S) == -signal.SIGKILL
                spawned.kill()
            wait_gone(home)
    with Canvas(home=home) as canvas:
        assert canvas.images().total == 0
        canvas.shutdown()


@pytest.mark.timeout(0)
def test_a_kernel_that_is_killed_while_it_starts_one_is_in_nobodys_way(
    home: Path, few: int, faults: Any
) -> None:
    for _ in range(few):
        with faults.inject("SIGKILL of a kernel that starts an orchestrator", "the next one works"):
            first = kernel("import sys, mysticanvas; mysticanvas.Canvas(sys.argv[1])", home)
            deadline = time.monotonic() + GONE_S
            while not processes_of(home):
                assert time.monotonic() < deadline
            first.kill()
            first.communicate()
            with Canvas(home=home) as canvas:
                pid = canvas.health().pid
                assert canvas.images().total == 0
                assert canvas.health().pid == pid
                canvas.shutdown()
            wait_gone(home)


TOGETHER = """
    import sys
    from mysticanvas import Canvas
    sys.stdin.readline()
    with Canvas(home=sys.argv[1]) as canvas:
        assert canvas._connection._stream.wait_connected(120)
        print(canvas.health().pid, flush=True)
        sys.stdin.readline()
"""


@pytest.mark.timeout(0)
def test_twelve_starts_at_once_make_one_orchestrator(tmp_path: Path, few: int, faults: Any) -> None:
    for number in range(few):
        # Cold: not even the folder is there.
        home = tmp_path / f"home {number}"
        with faults.inject("twelve starts at once", "one orchestrator, all are attached to it"):
            kernels = [kernel(TOGETHER, home) for _ in range(12)]
            for one in kernels:
                assert one.stdin is not None
                one.stdin.write("go\n")
                one.stdin.flush()
            pids = {one.stdout.readline().strip() for one in kernels if one.stdout is not None}
            assert len(pids) == 1, pids
            with Canvas(home=home) as canvas:
                health = canvas.health()
                assert {str(health.pid)} == pids
                attached = {client.rpartition(" ")[2] for client in health.clients}
                assert {str(one.pid) for one in kernels} <= attached
                for one in kernels:
                    one.communicate("done\n", timeout=60)
                    assert one.returncode == 0
                canvas.shutdown(force=True)
            # Nor was there another one in between.
            log = (home / "logs" / "orchestrator.jsonl").read_text().splitlines()
            events = [json.loads(line)["event"] for line in log]
            assert (events.count("started"), events.count("start_failed")) == (1, 0)
            wait_gone(home)
