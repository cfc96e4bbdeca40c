"""Signs of a long start."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from makers import Maker

from mysticanvas import processes
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator import app
from mysticanvas.orchestrator.signs import Signs
from mysticanvas.store import Store


def test_they_are_seldom_and_do_not_spoil_the_report() -> None:
    now = [0.0]
    reader, writer = os.pipe()
    signs = Signs(writer, clock=lambda: now[0])
    for _ in range(100):
        now[0] += 0.25
        signs.give()
    processes.report_ready(writer, {"well": True})
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.readline()
    assert said == b" " * 25 + b'{"well": true}\n'


def test_one_who_waits_no_longer_is_no_fault() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    now = [0.0]
    signs = Signs(writer, clock=lambda: now[0])
    now[0] = 5.0
    signs.give()
    os.close(writer)


def test_a_store_that_is_made_again_gives_one_for_each_file(tmp_path: Path) -> None:
    """Thrice: it is read to find its place, then as a whole, and looked for once all are recorded.
    Another when the store is open."""
    former, paths = HomePaths.of(tmp_path / "former"), HomePaths.of(tmp_path / "home")
    maker = Maker()
    with Store.open(former) as store:
        job = maker.added(store).record.id
        for index in range(3):
            maker.png(former, maker.image(job, maker.recipe(index=index, num_images=3)))
    shutil.copytree(former.images, paths.images)
    given: list[bool] = []
    store, told = app._open_store(paths, "porter", lambda: given.append(True))
    with store:
        assert store.images.count() == 3
    assert told is not None
    assert len(given) == 1 + 3 * 3
