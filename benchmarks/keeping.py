"""A backup of the collection, a restore of it and an export, each by a process of its own with the
memory that a store has by default."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from pathlib import Path

import mysticanvas.orchestrator.lean  # noqa: F401  # isort: skip  # as in the orchestrator
from benchmarks import child, collection, library
from benchmarks.figure import Finding, long_duration, memory
from benchmarks.statistics import summarize
from benchmarks.turns import seconds
from mysticanvas.contracts.exports import ExportParams
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator import export
from mysticanvas.store import Store, restore

PROJECT = collection.PROJECTS[-1]
"""What is exported: it has about a tenth of the pictures."""
_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024


class _Context:
    """A job that nobody stops."""

    job_id = "benchmark"
    project = PROJECT
    params: Mapping[str, str] = {}

    def check(self) -> None: ...

    def progress(self, fraction: float, stage: str) -> None: ...


def measure(images: int) -> list[Finding]:
    """One process after the other; the collection is as it was, but for the search index."""
    whats = {
        "backup": f"backup of {images:,} pictures",
        "restore": "that backup restored",
        "export": "a tenth exported, without its files",
    }
    findings: list[Finding] = []
    with library.borrowed(images) as copy:
        for name, what in whats.items():
            with child.start("benchmarks.keeping", str(copy.home), name) as keeper:
                told = keeper.hear()
            findings.append(long_duration(f"keep.{name}", what, summarize([told["seconds"]])))
            peak = summarize([told["bytes"]])
            findings.append(memory(f"keep.{name}.peak", "of memory, at the peak", peak))
    return findings


def _backup(paths: HomePaths) -> None:
    with Store.open(paths) as store:
        store.backups.save(_made(paths))


def _restore(paths: HomePaths) -> None:
    aside = restore.restore(paths, _made(paths)).aside
    assert aside is not None
    # A collection may be of gigabytes.
    aside.unlink()


def _export(paths: HomePaths) -> None:
    target = str(paths.root.with_name("export"))
    # Of the made-up files there are the sizes alone, which are more than a disk has.
    export._check_room = lambda *_: None
    with Store.open(paths) as store:
        export.run(store, paths, ExportParams(path=target, project=PROJECT), _Context())


def _made(paths: HomePaths) -> Path:
    return paths.root.with_name("backup.duckdb")


_WORK = {"backup": _backup, "restore": _restore, "export": _export}


def main(home: str, name: str) -> None:
    """Do it once; what it took."""
    paths = HomePaths.of(Path(home))
    took = seconds(lambda: _WORK[name](paths))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT
    child.answer(seconds=took, bytes=peak)


if __name__ == "__main__":
    main(*sys.argv[1:])
