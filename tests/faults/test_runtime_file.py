"""A runtime file that leads to somebody else: it is no obstacle, and no token goes there."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import processes_of

from mysticanvas import Canvas
from mysticanvas.contracts.runtime import Runtime
from mysticanvas.home import HomePaths
from mysticanvas.processes import Identity

WAIT_S = 20


def killed(home: Path) -> Runtime:
    """What an orchestrator that was killed has left behind."""
    file = HomePaths.of(home).runtime_file
    with Canvas(home=home, ipc="tcp") as canvas:
        runtime = Runtime.model_validate_json(file.read_bytes())
        left = file.read_bytes()
        orchestrator = Identity.of(canvas.health().pid)
        # A number comes round again after a while at the earliest, and a second tells two apart.
        while canvas.health().uptime_s < 2:
            time.sleep(0.05)
    os.kill(orchestrator.pid, signal.SIGKILL)
    assert orchestrator.wait_gone(WAIT_S)
    file.write_bytes(left)
    return runtime


def listening_at(url: str) -> socket.socket:
    """A socket at an address that was another's, as soon as the last thread of that one is gone."""
    address = httpx.URL(url)
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return socket.create_server((address.host, address.port or 0))
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def assert_another_works(home: Path, former: Runtime) -> None:
    with Canvas(home=home) as canvas:
        assert canvas.health().pid not in (former.pid, os.getpid())
        assert canvas.images().total == 0
        canvas.shutdown()
    assert processes_of(home) == []


@pytest.mark.timeout(0)
def test_the_port_of_one_that_was_killed_has_a_new_owner(home: Path, few: int, faults: Any) -> None:
    for _ in range(few):
        with faults.inject("the recorded port is taken", "another is started, nothing is sent"):
            former = killed(home)
            with listening_at(former.url) as stranger:
                assert_another_works(home, former)
                stranger.settimeout(0)
                with pytest.raises(BlockingIOError):
                    stranger.accept()


@pytest.mark.timeout(0)
def test_its_number_is_that_of_another_process(home: Path, few: int, faults: Any) -> None:
    for _ in range(few):
        with faults.inject("the recorded pid is recycled", "another is started, nothing is ended"):
            former = killed(home)
            with subprocess.Popen(
                [sys.executable, "-c", "input()"], stdin=subprocess.PIPE
            ) as other:
                recycled = former.model_copy(update={"pid": other.pid})
                HomePaths.of(home).runtime_file.write_text(recycled.model_dump_json())
                assert_another_works(home, recycled)
                assert other.poll() is None
                other.kill()
