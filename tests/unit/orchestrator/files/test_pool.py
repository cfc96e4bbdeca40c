"""Processes make thumbnails for whoever waits, and may end at any time."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest
from picture_files import Add, opened

from mysticanvas.contracts.thumbnails import ThumbnailOrder
from mysticanvas.errors import Conflict, NotFound
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.files.pool import Pool
from mysticanvas.orchestrator.files.thumbnails import Thumbnails
from mysticanvas.store import Store


def test_waiting_has_an_end(thumbnails: Thumbnails, add: Add, pool: Pool) -> None:
    first = add()
    thumbnails.get(first.id, 256)
    for pid in pool.pids:
        os.kill(pid, signal.SIGSTOP)
    second = add()
    with pytest.raises(Conflict, match="not ready"):
        thumbnails.get(second.id, 256, wait_s=0.05)
    for pid in pool.pids:
        os.kill(pid, signal.SIGCONT)
    assert opened(thumbnails.get(second.id, 256))


@pytest.mark.fault("SIGKILL of the processes that make thumbnails", "all are made")
def test_a_killed_process_costs_nothing(
    store: Store, thumbnails: Thumbnails, add: Add, pool: Pool, context: Any
) -> None:
    images = [add() for _ in range(60)]

    def kill_once() -> None:
        if context.checks == 40:
            for pid in pool.pids:
                os.kill(pid, signal.SIGKILL)

    context.on_check = kill_once
    assert thumbnails.run(context) == {"made": len(images), "failed": 0, "unread": 0}


def test_a_picture_that_takes_every_process_with_it_is_recorded(
    thumbnails: Thumbnails, add: Add, pool: Pool, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No patience at all stands for a decoder that hangs."""
    good, bad = add(), add()
    thumbnails.get(good.id, 256)
    monkeypatch.setattr("mysticanvas.orchestrator.files.pool.ANSWER_S", 0.0)
    assert thumbnails.run(context) == {"made": 0, "failed": 1, "unread": 0}
    monkeypatch.undo()
    with pytest.raises(NotFound, match="lost"):
        thumbnails.get(bad.id, 256)


def test_a_process_that_is_killed_from_outside_says_nothing_of_its_picture(
    paths: HomePaths, store: Store, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mysticanvas.orchestrator.files.pool.LOSSES", 1)
    pool = Pool(paths.root, paths.logs / "thumbnails.out", 1)
    thumbnails = Thumbnails(store, paths.root, pool)
    try:
        thumbnails.get(add().id, 256)
        [pid] = pool.pids
        os.kill(pid, signal.SIGSTOP)
        image = add()
        with pytest.raises(Conflict):
            thumbnails.get(image.id, 256, wait_s=0.05)
        answer = pool.submit(ThumbnailOrder(image_id=image.id, source=image.file.path))
        os.kill(pid, signal.SIGKILL)
        assert "SIGKILL" in answer.result(60).unread
        assert opened(thumbnails.get(image.id, 256))
    finally:
        pool.close()


def test_a_closed_pool_refuses_and_its_processes_are_gone(
    paths: HomePaths, store: Store, add: Add
) -> None:
    pool = Pool(paths.root, paths.logs / "thumbnails.out", 1)
    image = add()
    Thumbnails(store, paths.root, pool).get(image.id, 256)
    [pid] = pool.pids
    pool.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(Conflict, match="stopping"):
        Thumbnails(store, paths.root, pool).get(add().id, 256)


def test_an_idle_process_ends_and_the_next_order_starts_another(
    paths: HomePaths, store: Store, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mysticanvas.orchestrator.files.pool.IDLE_S", 0.01)
    pool = Pool(paths.root, paths.logs / "thumbnails.out", 1)
    try:
        thumbnails = Thumbnails(store, paths.root, pool)
        for _ in range(2):
            assert thumbnails.get(add().id, 256)
            for _ in range(6000):
                if not pool.pids:
                    break
                threading.Event().wait(0.01)
            assert pool.pids == []
    finally:
        pool.close()
