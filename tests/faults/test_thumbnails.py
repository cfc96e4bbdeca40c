"""A process that makes thumbnails is lost over an order: the next one makes them."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from makers import Maker

from mysticanvas.contracts import ids
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.files import pool as pool_module
from mysticanvas.orchestrator.files.pool import Pool
from mysticanvas.orchestrator.files.thumbnails import Thumbnails
from mysticanvas.store import Store

ENDS = [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP]
WAIT_S = 120.0


@pytest.mark.timeout(0)
@pytest.mark.parametrize("how", ENDS, ids=lambda how: how.name)
def test_it_costs_no_thumbnail(
    tmp_path: Path,
    count: int,
    seldom: int,
    faults: Any,
    how: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module, "ANSWER_S", 10.0)
    monkeypatch.setattr(pool_module, "IDLE_S", WAIT_S)
    paths, maker = HomePaths.of(tmp_path), Maker()
    with Store.open(paths) as store, ThreadPoolExecutor(1) as waits:
        pool = Pool(paths.root, paths.logs / "thumbnails.out", 1)
        thumbnails = Thumbnails(store, paths.root, pool)

        def added() -> str:
            image = maker.png(paths, maker.image(ids.new_id()))
            store.images.add([image])
            return image.id

        try:
            thumbnails.get(added(), 256, WAIT_S)
            for _ in range(seldom if how is signal.SIGSTOP else count):
                outcome = "both sizes are made by the next, and recorded once"
                with faults.inject(f"{how.name} of a process that makes thumbnails", outcome):
                    image, [pid] = added(), pool.pids
                    # It has the order, and has not begun.
                    os.kill(pid, signal.SIGSTOP)
                    wanted = waits.submit(thumbnails.get, image, 256, WAIT_S)
                    os.kill(pid, how)
                    if how is signal.SIGSEGV:
                        os.kill(pid, signal.SIGCONT)
                    assert wanted.result(WAIT_S).startswith(b"RIFF")
                    assert not psutil.pid_exists(pid)
                    assert pool.pids != [pid]
                    rows = store.database.read(
                        "SELECT kind FROM generation_files WHERE image_id = $id", id=image
                    )
                    kinds = sorted(row["kind"] for row in rows)
                    assert kinds == ["original", "thumbnail_256", "thumbnail_512"]
                    assert store.files.failures() == {}
        finally:
            pool.close()
        assert pool.pids == []
