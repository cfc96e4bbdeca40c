"""Many kernels, one orchestrator: restarts, upgrades, idle exit, and homes of every kind."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from others import LISTENING, kernel
from support import processes_of, start_as

from mysticanvas import Canvas, Conflict, OrchestratorUnavailable, locks
from mysticanvas.session import launch

KERNEL = """
    import sys
    from mysticanvas import Canvas
    canvas = Canvas(home=sys.argv[1])
    job = canvas.submit("left behind", preset=sys.argv[2], num_inference_steps=300, seed=1)
    print(job.id, canvas.health().pid, flush=True)
    sys.stdin.readline()
"""


@pytest.mark.fault("SIGINT, then SIGKILL of a kernel's process group", "orchestrator and job go on")
def test_a_new_kernel_finds_the_running_job_and_its_previews_when_the_old_group_is_killed(
    home: Path, tiny_sd: Path
) -> None:
    old = kernel(KERNEL, home, tiny_sd, start_new_session=True)
    job_id, pid = old.stdout.readline().split()
    os.killpg(old.pid, signal.SIGINT)
    os.killpg(old.pid, signal.SIGKILL)
    old.communicate()
    with Canvas(home=home) as canvas:
        assert canvas.health().pid == int(pid)
        assert job_id in [job.id for job in canvas.jobs]
        job = canvas.job(job_id)
        assert canvas._connection._stream.wait_connected(60)
        with canvas._connection.previews():
            kinds = {event.type for event in job.events()}
        assert {"progress", "preview"} <= kinds
        assert job.result(timeout=120).job_id == job_id
        assert job.attempts == 1
        worker = canvas.workers["image"]
        assert worker.model, "the model is warm"
        canvas.unload()
        assert canvas.workers[0].model is None
        canvas.shutdown()


def test_a_newer_client_replaces_what_runs_and_no_job_is_lost(
    home: Path, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as as_it_was:
        as_it_was.setattr(launch, "__version__", "0.0.1")
        start_as(as_it_was, "start_of_version", VERSION="0.0.1")
        older = Canvas(home=home)
        former = older.health().pid
        jobs = [older.submit("x", preset=tiny_sd, num_inference_steps=40) for _ in range(3)]
    with older:
        monkeypatch.setattr(launch, "DRAIN_S", 1.0)
        with Canvas(home=home) as upgraded:
            pid = upgraded._connection.attach().identity.pid
        assert pid != former
        images = [job.result(timeout=180) for job in jobs]
        assert older.health().pid == pid
        assert sorted(image.id for image in older.images()) == sorted(i.id for i in images)
        with monkeypatch.context() as too_old:
            too_old.setattr(launch, "PROTOCOL", launch.PROTOCOL - 1)
            with pytest.raises(OrchestratorUnavailable, match="newer than this kernel"):
                Canvas(home=home)
        with monkeypatch.context() as downgraded:
            downgraded.setattr(launch, "__version__", "99.0")
            with pytest.raises(OrchestratorUnavailable, match=r"99\.0.*installed is .* older"):
                Canvas(home=home)
        assert older.health().pid == pid
        older.shutdown()


@pytest.mark.fault("the runtime file is missing, then truncated", "the orchestrator is found again")
def test_a_lost_runtime_file_is_no_obstacle(home: Path) -> None:
    file = home / "run" / "orchestrator.json"
    with Canvas(home=home) as canvas:
        pid = canvas.health().pid
        for damage in (file.unlink, lambda: file.write_text('{"url": "ht')):
            damage()
            with Canvas(home=home) as other:
                assert other.health().pid == pid
        assert json.loads(file.read_text())["pid"] == pid
        canvas.shutdown()


def test_idle_exit_and_attach_never_meet_badly(home: Path) -> None:
    def attach(between_s: float) -> None:
        for number in range(4):
            with Canvas(home=home, idle_timeout_s=0.3) as canvas:
                canvas.health()
            # Next to the time-out, now before and now behind it.
            threading.Event().wait(between_s + 0.1 * number)
            deadline = time.monotonic() + 20
            # One that has given its home up is a process for a moment longer.
            while len(orchestrators(home)) > 1:
                assert time.monotonic() < deadline, orchestrators(home)
                time.sleep(0.05)

    with ThreadPoolExecutor(3) as kernels:
        for done in [kernels.submit(attach, 0.2 + 0.05 * number) for number in range(3)]:
            done.result()


def orchestrators(home: Path) -> list[int]:
    found = processes_of(home)
    return [process.pid for process in found if is_orchestrator(process)]


def is_orchestrator(process: object) -> bool:
    import psutil

    assert isinstance(process, psutil.Process)
    try:
        return "mysticanvas.orchestrator" in process.cmdline()
    except psutil.Error:
        return False


def test_a_shutdown_names_the_others_and_can_be_forced(home: Path) -> None:
    with Canvas(home=home) as canvas:
        other = kernel(LISTENING, home)
        assert other.stdout.readline() == "listening\n"
        with pytest.raises(Conflict, match=f"process {other.pid}"):
            canvas.shutdown()
        canvas.shutdown(force=True)
    assert processes_of(home) == []
    other.communicate("done\n", timeout=60)


def test_no_shell_no_path_a_foreign_package_and_a_state_on_another_disk(
    make_home: Callable[[], Path], tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home()
    state = home.with_name("loçal state")
    package = Path(locks.__file__).parent
    # Nor does this process, which may import one of its modules now for the first time.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = {path: path.stat().st_mtime_ns for path in package.rglob("*.*")}
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("SHELL", raising=False)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("MYSTICANVAS_STATE", str(state))

    def flock(fd: int, real: Callable[[int], None] = locks.flock) -> None:
        if not Path(f"/proc/self/fd/{fd}").readlink().is_relative_to(home):
            real(fd)

    monkeypatch.setattr(locks, "flock", flock)
    with Canvas(home=home) as canvas:
        image = canvas.generate("x", preset=tiny_sd, num_inference_steps=1)
        assert image.path.is_relative_to(home / "images")
        canvas.shutdown()
    assert (state / "mysticanvas.duckdb").is_file()
    assert not list(home.rglob("*.lock"))
    assert not list(home.rglob("*.duckdb*"))
    assert {path: path.stat().st_mtime_ns for path in package.rglob("*.*")} == before
