"""What a fresh interpreter pays for `import mysticanvas`, and for attaching."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks import child
from benchmarks.figure import Figure, duration
from benchmarks.statistics import summarize
from benchmarks.subject import new_home
from mysticanvas import Canvas

RUNS = 15
IMPORT_MS = 150.0
ATTACH_MS = 400.0


def measure(_model: Path) -> list[Figure]:
    """Import, and import and attach, measured inside and from outside the process."""
    with new_home() as home, Canvas(home=home):
        imports = [_run() for _ in range(RUNS)]
        attaches = [_run(str(home)) for _ in range(RUNS)]
    for answer in [*imports, *attaches]:
        if answer["heavy"]:
            raise RuntimeError(f"A kernel has loaded {', '.join(answer['heavy'])}.")

    def row(
        name: str, what: str, runs: list[child.Answer], key: str, bar_ms: float | None = None
    ) -> Figure:
        times = summarize([answer[key] for answer in runs])
        return duration(f"import.{name}", what, times, bar_ms)

    return [
        row("import", "import mysticanvas", imports, "import_s", IMPORT_MS),
        row("import_process", "its whole process", imports, "process_s"),
        row("attach", "import and attach", attaches, "attached_s", ATTACH_MS),
        row("attach_answered", "import, attach, first answer", attaches, "answered_s"),
        row("attach_process", "its whole process", attaches, "process_s"),
    ]


def _run(*arguments: str) -> child.Answer:
    began = time.perf_counter()
    with child.start("benchmarks.kernel", *arguments) as kernel:
        answer = kernel.hear()
    return {**answer, "process_s": time.perf_counter() - began}
