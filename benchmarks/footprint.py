"""Memory of the processes, and what it is spent on.

Of each, the part that is mapped from files (programs and libraries, shared with other processes
that use them) and the part that is its own (what it has computed and read).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.figure import Figure, memory
from benchmarks.statistics import Summary
from benchmarks.subject import PROMPT, new_home
from mysticanvas import Canvas, processes
from mysticanvas.environment import child_environment, engine_environment
from mysticanvas.orchestrator.supervisor.client import WorkerClient

PICTURES = 20
"""Pictures of the small store."""
ORCHESTRATOR_MB, SHELL_MB = 150.0, 90.0


class Resident(NamedTuple):
    """Resident memory of a process in bytes."""

    total: int
    own: int
    files: int

    @classmethod
    def of(cls, pid: int) -> Resident:
        """What the system says of a process."""
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        members = dict(line.split(":", 1) for line in lines if line.startswith(("VmRSS", "Rss")))
        kib = {name: int(value.split()[0]) for name, value in members.items()}
        files = kib["RssFile"] + kib["RssShmem"]
        return cls(kib["VmRSS"] << 10, kib["RssAnon"] << 10, files << 10)


def measure(model: Path) -> list[Figure]:
    """Orchestrator and worker, from their start to a picture."""
    shell = _without_model("benchmarks.idle_worker", "idle")
    imported = _without_model("mysticanvas.workers", "image")
    with new_home() as home, Canvas(home=home) as canvas:
        for seed in range(PICTURES):
            canvas.generate(PROMPT, preset=str(model), seed=seed, num_inference_steps=2)
        used = Resident.of(_worker(canvas))
        orchestrator = Resident.of(canvas.health().pid)
    return [
        *_figures("orchestrator", "orchestrator, small store", orchestrator, ORCHESTRATOR_MB),
        *_figures("shell", "worker, before its engine", shell, SHELL_MB),
        *_figures("imported", "image worker, engine imported", imported),
        *_figures("used", "image worker, model used", used),
    ]


def _without_model(module: str, engine: str) -> Resident:
    """A worker process that has its engine and was asked for nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = str(Path(__file__).parents[1])
        spawned = processes.spawn(
            module,
            ["--engine", engine, "--images", name, "--parent-pid", str(os.getpid())],
            environment=child_environment({**engine_environment(1), "PYTHONPATH": root}),
            log=folder / "worker.out",
            secret=b"token",
        )
        ready = spawned.read_ready()
        assert ready is not None, (folder / "worker.out").read_text()
        try:
            # A call waits for the engine.
            WorkerClient(str(ready["url"]), "token").unload()
            return Resident.of(spawned.process.pid)
        finally:
            with spawned.process as process:
                process.kill()


def _worker(canvas: Canvas) -> int:
    worker = canvas.workers["image"]
    assert worker.pid is not None
    return worker.pid


def _figures(name: str, what: str, resident: Resident, bar_mb: float | None = None) -> list[Figure]:
    def once(size: int) -> Summary:
        return Summary(1, size, size, size)

    return [
        memory(f"footprint.{name}", what, once(resident.total), bar_mb),
        memory(f"footprint.{name}.own", "  of it its own", once(resident.own)),
        memory(f"footprint.{name}.files", "  of it mapped from files", once(resident.files)),
    ]
