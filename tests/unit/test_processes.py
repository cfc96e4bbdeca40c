import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from mysticanvas import processes
from mysticanvas.environment import child_environment, engine_environment
from mysticanvas.locks import FileLock
from mysticanvas.processes import Identity


def test_a_lock_excludes_until_released(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "l"), FileLock(tmp_path / "l")
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire(timeout_s=1)
    second.release()


def test_a_child_does_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "l")
    assert lock.acquire()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        lock.release()
        assert FileLock(tmp_path / "l").acquire()
    finally:
        child.communicate(b"\n")


def test_an_identity_outlives_neither_its_process_nor_the_boot() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = Identity.of(child.pid)
    assert identity.alive()
    assert not identity._replace(started_at=identity.started_at - 60).alive()
    assert not identity._replace(boot_id="another").alive()
    os.kill(child.pid, 9)
    # Not reaped yet: a zombie counts as gone.
    assert identity.wait_gone(10)
    child.communicate()
    assert not identity.alive()


def test_the_environment_of_a_child_is_an_allow_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    environment = child_environment({"A": "b"})
    assert environment["PATH"] == os.environ["PATH"]
    assert environment["A"] == "b"
    assert "AWS_SECRET_ACCESS_KEY" not in environment


def test_a_worker_environment_never_reaches_the_network_or_spins() -> None:
    environment = engine_environment(3)
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    assert environment["OMP_NUM_THREADS"] == "3"


CHILD = """
    import argparse, os, sys
    from mysticanvas import processes
    parser = argparse.ArgumentParser()
    parser.add_argument("--ready-fd", type=int)
    parser.add_argument("--parent", type=int)
    options = parser.parse_args()
    secret = processes.join_parent(options.parent)
    processes.report_ready(options.ready_fd, {"secret": secret.decode(), "argv": sys.argv})
    import threading
    threading.Event().wait()
"""


@pytest.fixture
def child_module(tmp_path: Path) -> str:
    (tmp_path / "spawned_child.py").write_text(textwrap.dedent(CHILD))
    return "spawned_child"


def spawn_child(tmp_path: Path, module: str, parent: int) -> processes.Spawned:
    return processes.spawn(
        module,
        ["--parent", str(parent)],
        environment={**os.environ, "PYTHONPATH": str(tmp_path)},
        log=tmp_path / "log",
        secret=b"hush",
    )


def test_the_secret_travels_by_pipe_and_never_in_argv(tmp_path: Path, child_module: str) -> None:
    spawned = spawn_child(tmp_path, child_module, os.getpid())
    report = spawned.read_ready()
    assert report is not None, (tmp_path / "log").read_text()
    assert report["secret"] == "hush"
    assert "hush" not in str(report["argv"])
    assert "hush" not in Path(f"/proc/{spawned.process.pid}/environ").read_text()
    assert spawned.process.stdin is not None
    spawned.process.stdin.close()
    assert spawned.process.wait(10) == 1


def test_a_child_whose_parent_is_gone_already_ends_at_once(
    tmp_path: Path, child_module: str
) -> None:
    spawned = spawn_child(tmp_path, child_module, parent=1)
    assert spawned.read_ready() is None
    assert spawned.process.wait(10) == 1
    assert spawned.process.stdin is not None
    spawned.process.stdin.close()


def test_the_memory_of_a_process_is_what_the_system_says() -> None:
    # It says so once it is up: until then, it grows from one look to the next.
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline()
        said = psutil.Process(child.pid).memory_info().rss / 2**20
        assert processes.memory_mib(child.pid) == pytest.approx(said, rel=0.5)
    assert processes.memory_mib(child.pid) == 0.0
    assert processes.memory_mib() == pytest.approx(processes.memory_mib(os.getpid()), rel=0.1)
