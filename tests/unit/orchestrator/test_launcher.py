"""A launcher may be somebody else's: whatever it raises or gives is a start that failed."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from mysticanvas import processes
from mysticanvas.contracts.alerts import Alert
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator.supervisor import launcher
from mysticanvas.orchestrator.supervisor.launcher import Launch
from mysticanvas.orchestrator.supervisor.seams import Seams
from mysticanvas.orchestrator.supervisor.worker import Listener, Worker
from mysticanvas.plugins.hookspecs import Launcher


def launch(folder: Path, spawn: Launcher) -> Launch:
    return Launch("image", [], {}, LogFile(folder / "worker.jsonl"), "problem_worker", spawn)


@pytest.mark.fault("a launcher of a plug-in raises", "the start has failed, and is tried again")
@pytest.mark.parametrize("kind", [ZeroDivisionError, SystemExit, KeyboardInterrupt])
def test_what_a_launcher_raises_is_a_start_that_failed(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    def failing(*_: Any, **__: Any) -> processes.Spawned:
        raise kind("of a plug-in")

    with pytest.raises(OSError, match=f"{kind.__name__}: of a plug-in"):
        launcher.start(launch(tmp_path, failing))
    alerts: queue.SimpleQueue[Alert] = queue.SimpleQueue()
    worker = Worker(launch(tmp_path, failing), Listener(lambda _: None, alerts.put), 1.0)
    worker.start()
    try:
        first, second = alerts.get(timeout=60), alerts.get(timeout=60)
    finally:
        worker.stop()
    assert "could not be started" in first.message
    assert kind.__name__ in second.message


def test_a_worker_outlives_whatever_its_start_raises(tmp_path: Path) -> None:
    def start(_: Launch) -> launcher.Started:
        raise SystemExit("of a seam")

    alerts: queue.SimpleQueue[Alert] = queue.SimpleQueue()
    listener = Listener(lambda _: None, alerts.put)
    worker = Worker(launch(tmp_path, processes.spawn), listener, 1.0, seams=Seams(start=start))
    worker.start()
    try:
        assert "of a seam" in alerts.get(timeout=60).message
        worker.catch_up()
    finally:
        worker.stop()


@pytest.mark.parametrize("given", [None, 7])
def test_what_is_no_process_is_a_start_that_failed(tmp_path: Path, given: Any) -> None:
    with pytest.raises(OSError, match=f"gives a {type(given).__name__}, and not a Spawned"):
        launcher.start(launch(tmp_path, lambda *_, **__: given))


def test_a_process_in_another_form_is_ended(tmp_path: Path) -> None:
    given: list[subprocess.Popen[bytes]] = []

    def popen(*_: Any, **__: Any) -> Any:
        given.append(subprocess.Popen(["sleep", "60"]))
        return given[-1]

    with pytest.raises(OSError, match="gives a Popen"):
        launcher.start(launch(tmp_path, popen))
    assert given[0].poll() == -signal.SIGKILL


def sleeping(*_: Any, **__: Any) -> processes.Spawned:
    """A process that never says a word."""
    reader, writer = os.pipe()
    process = subprocess.Popen(
        ["sleep", "60"], stdout=subprocess.PIPE, pass_fds=(writer,), start_new_session=True
    )
    os.close(writer)
    assert process.stdout is not None
    return processes.Spawned(process, os.fdopen(reader, "rb"), cast("BinaryIO", process.stdout))


@pytest.mark.parametrize("which", ["output-", "listen-", "wait-"])
def test_where_there_are_no_more_threads_a_start_has_failed_and_no_process_stays(
    tmp_path: Path, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawned: list[processes.Spawned] = []

    def spawn(*arguments: Any, **keywords: Any) -> processes.Spawned:
        spawned.append(sleeping(*arguments, **keywords))
        return spawned[-1]

    begin = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name.startswith(which):
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    alerts: queue.SimpleQueue[Alert] = queue.SimpleQueue()
    worker = Worker(launch(tmp_path, spawn), Listener(lambda _: None, alerts.put), 1.0)
    worker.start()
    try:
        told = [alerts.get(timeout=60) for _ in range(2)]
    finally:
        worker.stop()
    assert "could not be started (can't start new thread)" in told[0].message
    assert all(each.process.poll() == -signal.SIGKILL for each in spawned)
    for thread in threading.enumerate():
        if thread.name.startswith("listen-"):
            thread.join(10)
            assert not thread.is_alive()


def test_one_whose_output_cannot_be_read_is_ended(tmp_path: Path) -> None:
    spawned: list[processes.Spawned] = []

    def silent(*arguments: Any, **keywords: Any) -> processes.Spawned:
        spawned.append(processes.spawn(*arguments, **keywords))
        return spawned[-1]._replace(output=None)

    with pytest.raises(OSError, match="no output"):
        launcher.start(launch(tmp_path, silent))
    assert spawned[0].process.poll() is not None
    assert spawned[0].output is not None
    spawned[0].output.close()
