"""A launcher may be somebody else's: whatever it raises is a start that failed."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

import pytest

from mysticanvas import processes
from mysticanvas.contracts.alerts import Alert
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator.supervisor import launcher
from mysticanvas.orchestrator.supervisor.launcher import Launch
from mysticanvas.orchestrator.supervisor.worker import Listener, Worker
from mysticanvas.plugins.hookspecs import Launcher


def launch(folder: Path, spawn: Launcher) -> Launch:
    return Launch("image", [], {}, LogFile(folder / "worker.jsonl"), "problem_worker", spawn)


def failing(*_: Any, **__: Any) -> processes.Spawned:
    raise ZeroDivisionError("of a plug-in")


@pytest.mark.fault("a launcher of a plug-in raises", "the start has failed, and is tried again")
def test_what_a_launcher_raises_is_a_start_that_failed(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="ZeroDivisionError: of a plug-in"):
        launcher.start(launch(tmp_path, failing))
    alerts: queue.SimpleQueue[Alert] = queue.SimpleQueue()
    worker = Worker(launch(tmp_path, failing), Listener(lambda _: None, alerts.put), 1.0)
    worker.start()
    try:
        first, second = alerts.get(timeout=60), alerts.get(timeout=60)
    finally:
        worker.stop()
    assert "could not be started" in first.message
    assert "ZeroDivisionError" in second.message


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
