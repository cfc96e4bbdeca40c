"""Keepers of processes that make thumbnails: whatever they meet, who waits is answered."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest
from picture_files import Add

from mysticanvas import processes
from mysticanvas.errors import JobCancelled, StoreError
from mysticanvas.orchestrator.files.thumbnails import Thumbnails
from mysticanvas.orchestrator.helper import Helper

WAIT_S = 60.0


@pytest.mark.fault("no more threads for thumbnails", "told; no process stays; then all are made")
def test_where_there_are_no_more_threads_it_is_said_and_the_next_run_makes_them(
    thumbnails: Thumbnails, add: Add, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    add()
    started: list[subprocess.Popen[bytes]] = []
    begin, spawn = threading.Thread.start, processes.spawn

    def start(thread: threading.Thread) -> None:
        if thread.name.startswith("output-"):
            raise RuntimeError("can't start new thread")
        begin(thread)

    def noted(*arguments: Any, **keywords: Any) -> processes.Spawned:
        spawned = spawn(*arguments, **keywords)
        started.append(spawned.process)
        return spawned

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        patch.setattr(processes, "spawn", noted)
        with pytest.raises(StoreError, match="cannot be started: can't start new thread"):
            within(WAIT_S, lambda: thumbnails.run(context))
    assert started
    assert all(process.poll() == -signal.SIGKILL for process in started)
    assert within(WAIT_S, lambda: thumbnails.run(context))["made"] == 1


@pytest.mark.fault("an error of its own in a thumbnail keeper", "made by the next process")
def test_a_keeper_outlives_what_nobody_foresaw(
    thumbnails: Thumbnails, add: Add, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        add()
    receive, left = Helper.receive, [ZeroDivisionError("once"), MemoryError()]

    def failing(helper: Helper[Any], timeout_s: float) -> Any:
        if left:
            raise left.pop()
        return receive(helper, timeout_s)

    monkeypatch.setattr(Helper, "receive", failing)
    assert within(WAIT_S, lambda: thumbnails.run(context))["made"] == 3


@pytest.mark.fault("SIGSTOP of thumbnail processes", "a job that is to end does so at once")
def test_a_run_that_is_to_end_waits_for_no_answer(
    thumbnails: Thumbnails, add: Add, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    add()
    send = Helper.send

    def held(helper: Helper[Any], order: Any) -> None:
        os.kill(helper.pid, signal.SIGSTOP)
        send(helper, order)

    monkeypatch.setattr(Helper, "send", held)
    ends = threading.Event()

    def end_if_told() -> None:
        if ends.is_set():
            raise JobCancelled("It was cancelled.")

    context.on_check = end_if_told
    timer = threading.Timer(0.5, ends.set)
    timer.start()
    try:
        with pytest.raises(JobCancelled):
            within(10.0, lambda: thumbnails.run(context))
    finally:
        timer.join()


def within(seconds: float, work: Callable[[], Any]) -> Any:
    """What work gives, or raises, if it ends in time."""
    came: list[Any] = []

    def run() -> None:
        try:
            came.append(work())
        except Exception as error:  # noqa: BLE001
            came.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert came, f"it has not ended after {seconds:g} s"
    if isinstance(came[0], Exception):
        raise came[0]
    return came[0]
