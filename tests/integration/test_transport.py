"""A home whose processes talk through Unix sockets, from the first call to a crash and back."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
from pathlib import Path

import psutil
import pytest
from support import processes_of

from mysticanvas import Canvas, errors, transport
from mysticanvas.contracts.runtime import Runtime
from mysticanvas.home import HomePaths
from mysticanvas.processes import Identity


def runtime(home: Path) -> Runtime:
    return Runtime.model_validate_json(HomePaths.of(home).runtime_file.read_bytes())


def ports(home: Path) -> list[object]:
    found: list[object] = []
    for process in processes_of(home):
        # A helper may be gone by now.
        with contextlib.suppress(psutil.NoSuchProcess):
            found += process.net_connections("inet")
    return found


def test_nothing_listens_on_a_port_and_pictures_are_made(home: Path, tiny_sd: Path) -> None:
    with Canvas(home=home, ipc="unix") as canvas:
        image = canvas.generate("x", preset=str(tiny_sd), num_inference_steps=2)
        assert canvas.images().items[0].id == image.id
        events = list(canvas.submit("y", preset=str(tiny_sd), num_inference_steps=2).events())
        assert events
        assert ports(home) == []
        sockets = sorted((home / "run").glob("*.sock"))
        workers = [worker for worker in canvas.workers if worker.pid]
        assert [path.name[:7] for path in sockets] == ["orchest", *("worker-" for _ in workers)]
        assert {stat.S_IMODE(path.stat().st_mode) for path in sockets} == {0o600}
        assert runtime(home).url.startswith("http+unix://")
        canvas.shutdown()
    assert list((home / "run").glob("*.sock")) == []


def test_a_kernel_that_does_not_choose_uses_what_is_there(home: Path) -> None:
    with Canvas(home=home, ipc="unix") as first, Canvas(home=home) as second:
        assert first.health().pid == second.health().pid
    given = runtime(home)
    with Canvas(home=home, url=given.url, token=given.token) as by_address:
        assert by_address.health().pid == given.pid
    with pytest.raises(errors.PermissionDenied), Canvas(url=given.url, token="wrong") as stranger:
        stranger.health()


@pytest.mark.fault("a socket that a killed orchestrator left", "replaced")
def test_a_killed_orchestrator_leaves_nothing_in_the_way(home: Path) -> None:
    with Canvas(home=home, ipc="unix") as canvas:
        before = canvas.health().pid
        # As a worker leaves it that is killed with its orchestrator.
        of_worker = transport.worker_socket(home / "run")
        transport.listen("unix", of_worker).socket.close()
        identity = Identity.of(before)
        os.kill(before, signal.SIGKILL)
        assert identity.wait_gone(20)
        assert (home / "run" / "orchestrator.sock").exists()
        assert canvas.health().pid != before
        assert not of_worker.exists()


def test_named_pipes_are_refused_before_anything_is_started(home: Path) -> None:
    with pytest.raises(errors.InvalidRequest, match="Windows"):
        Canvas(home=home, ipc="pipe")
    assert not home.exists()


def test_a_home_on_a_path_that_is_too_long_is_told_what_to_do(home: Path) -> None:
    long = home / ("x" * 100)
    with pytest.raises(errors.InvalidRequest, match=r"run/orchestrator\.sock.* bytes") as refused:
        Canvas(home=long, ipc="unix")
    assert "ipc='tcp'" in refused.value.hint
    assert psutil.wait_procs(processes_of(long), timeout=60)[1] == []
    with Canvas(home=long, ipc="tcp") as canvas:
        assert canvas.health().pid
