"""All files of pictures are looked at now and then, and what is new in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from picture_files import Add

from mysticanvas.contracts import thumbnails as where
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.files.thumbnails import Thumbnails
from mysticanvas.orchestrator.files.upkeep import WHOLE_S, FileUpkeep
from mysticanvas.store import Store


def test_runs_between_two_whole_ones_look_at_what_is_new(
    store: Store, paths: HomePaths, thumbnails: Thumbnails, add: Add, context: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    now = 0.0
    monkeypatch.setattr("mysticanvas.orchestrator.files.upkeep.time.monotonic", lambda: now)
    begins: list[int] = []
    looked = store.files.without_thumbnails

    def look(after: int, check: Callable[[], None]) -> Any:
        begins.append(after)
        return looked(after, check)

    monkeypatch.setattr(store.files, "without_thumbnails", look)
    runs = FileUpkeep(store, paths, thumbnails, 0)
    old, gone = add(), add()
    assert runs.run(context) == {"swept": 0, "made": 2, "failed": 0, "unread": 0}
    store.images.delete([gone.id])
    away = paths.root / add().file.path
    kept = away.rename(away.with_name("away"))
    assert runs.run(context) == {"swept": 0, "made": 0, "failed": 0, "unread": 1}
    kept.rename(away)
    assert runs.run(context)["made"] == 1, "what could not be read is tried again"
    runs.run(context)
    assert begins == [0, 2, 2, 3]
    store.files.forget([where.path(old.id, 256)])
    assert runs.run(context)["made"] == 1, "what was forgotten is made again"
    now += WHOLE_S
    assert runs.run(context)["swept"] == 1
    assert begins[-1] == 0
