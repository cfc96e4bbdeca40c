"""Sweep the home that is given, or record thumbnails in it, and be killed at a step.

Arguments: the home, and the step: the name of a function that is never left alive.
"""

import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mysticanvas import logs
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.files import sweep
from mysticanvas.orchestrator.files.pool import Pool
from mysticanvas.orchestrator.files.prune import _Unasked
from mysticanvas.orchestrator.files.thumbnails import Thumbnails
from mysticanvas.store import Store, tombstones
from mysticanvas.store.files import Files

logs.configure(None, "test")
paths = HomePaths.of(Path(sys.argv[1]))
work, _, step = sys.argv[2].partition(":")
store = Store.open(paths)


def dying(function: Callable[..., Any], before: bool) -> Callable[..., Any]:
    def die(*arguments: Any, **named: Any) -> None:
        if not before:
            function(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    return die


def die_at(owner: Any, name: str, before: bool = False) -> None:
    setattr(owner, name, dying(getattr(owner, name), before))


AT: dict[str, Callable[[], None]] = {
    "marked": lambda: die_at(tombstones, "add", before=True),
    "doomed": lambda: die_at(Files, "doom"),
    "one file": lambda: die_at(sweep, "_unlink"),
    "all files": lambda: die_at(sweep, "_sync"),
    "forgotten": lambda: die_at(Files, "forget_doomed"),
    "listed": lambda: die_at(tombstones, "replace", before=True),
    "files made": lambda: die_at(Files, "add", before=True),
    "rows made": lambda: die_at(Files, "add"),
    "failures": lambda: die_at(Files, "add_failures", before=True),
}
AT[step]()
if work == "sweep":
    if step == "marked":
        from mysticanvas.orchestrator.files import deleting

        deleting.delete(store, paths.images, store.images.page(1).items[0].id)
    sweep.run(store, paths, datetime.now(UTC), _Unasked())
else:
    pool = Pool(paths.root, paths.logs / "thumbnails.out", 1)
    Thumbnails(store, paths.root, pool).run(_Unasked())
