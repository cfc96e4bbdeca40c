"""Workers that a launcher starts below a process of its own: a shell, as a container's might be."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from house import TESTS
from support import family, left_of
from wrappers import NAMESPACE, wrapped

from mysticanvas.environment import child_environment
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator.supervisor import launcher
from mysticanvas.orchestrator.supervisor.launcher import Launch
from mysticanvas.plugins.hookspecs import Launcher


def start(folder: Path, spawn: Launcher, ipc: str = "tcp") -> launcher.Started:
    arguments = ["--engine", "image", "--images", str(folder), "--parent-pid", str(os.getpid())]
    arguments += ["--ipc", ipc, "--sockets", str(folder)]
    environment = child_environment({"PYTHONPATH": str(TESTS)})
    log = LogFile(folder / "worker.jsonl")
    return launcher.start(Launch("image", arguments, environment, log, "problem_worker", spawn))


@pytest.mark.fault("the end of an orchestrator, as a worker below a shell sees it", "it is gone")
def test_a_worker_below_a_wrapper_answers_and_ends_with_its_input(tmp_path: Path) -> None:
    started = start(tmp_path, wrapped("--parent-pid", "0"))
    try:
        client = started.client()
        assert client is not None
        assert client.health(60).pid != started.process.pid
        there = family(started.process.pid)
        assert len(there) == 2
        assert started.process.stdin is not None
        started.process.stdin.close()
        assert left_of(there, 2.0) == []
    finally:
        started.spawned.kill()


def test_one_whose_parent_is_another_says_so(tmp_path: Path) -> None:
    started = start(tmp_path, wrapped())
    try:
        assert started.client() is None
        assert started.process.wait(60) == 1
        assert f"Process {os.getpid()} is not the parent" in started.last_lines()[-1]
    finally:
        started.spawned.kill()


def can_be_process_1() -> bool:
    try:
        return (
            subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
        )
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not can_be_process_1(), reason="no namespace for processes can be made here")
def test_workers_with_the_same_number_have_sockets_of_their_own(tmp_path: Path) -> None:
    spawn = wrapped("--parent-pid", "0", wrapper=NAMESPACE)
    both = [start(tmp_path, spawn, "unix") for _ in range(2)]
    try:
        clients = [client for each in both if (client := each.client()) is not None]
        assert [client.health(60).pid for client in clients] == [1, 1]
    finally:
        for each in both:
            each.spawned.kill()
