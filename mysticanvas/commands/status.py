"""`mysticanvas status`: what runs for a home, how it is, and how much room there is."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mysticanvas.commands import settings_of

# Modules that only this command needs are imported when it runs: `--help` has to be quick.
if TYPE_CHECKING:
    from mysticanvas.commands.console import Console
    from mysticanvas.contracts.health import Health, WorkerStatus
    from mysticanvas.contracts.runtime import Runtime
    from mysticanvas.contracts.status import DiskReport, StatusReport, WorkerReport
    from mysticanvas.home import HomePaths

RUNS, SILENT, NOTHING_RUNS = 0, 1, 3
_ANSWER_S = 2.0
_CODES = {
    "running": RUNS,
    "silent": SILENT,
    "starting": SILENT,
    "stopping": SILENT,
    "stopped": NOTHING_RUNS,
}
_STATES = {
    "ready": "green",
    "busy": "cyan",
    "starting": "yellow",
    "stopping": "yellow",
    "failed": "red",
}


def add(commands: Any, home: argparse.ArgumentParser) -> None:
    """Add the command to the parser's subcommands; `home` is the parent with `--home`."""
    parser = commands.add_parser(
        "status",
        parents=[home],
        help="show what runs: orchestrator, workers, queue, disk",
        epilog="Exit code: 0 it runs, 3 nothing runs; 1 what runs does not answer, or is "
        "starting or stopping, or another error; 2 wrong usage. With --json, an error is "
        "printed as JSON as well.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print what runs. Nothing is started."""
    from mysticanvas.commands.console import Console, explained

    with explained(options.json):
        found = report(settings_of(options).paths)
    print(found.model_dump_json(indent=2) if options.json else text(found, Console.of()))
    return _CODES[found.state]


def report(paths: HomePaths) -> StatusReport:
    """What runs for a home.

    Raises:
        OrchestratorUnavailable: something runs that this installation cannot talk to, or that runs
            on another machine.
    """
    from mysticanvas.contracts.status import StatusReport
    from mysticanvas.session import launch

    runtime = launch.find(paths)
    health = None if runtime is None else _health(runtime)
    state = "silent" if health is None else "running"
    if runtime is None:
        runtime = launch.ending(paths)
        state = "stopping"
    if runtime is None:
        state = "starting" if launch.starts(paths) else "stopped"
    return StatusReport.model_validate(
        {
            "home": str(paths.root),
            "state": state,
            "orchestrator": runtime and _orchestrator(runtime, health),
            "workers": [_worker(worker) for worker in health.workers] if health else [],
            "queue": health and health.queue,
            "disk": _disk(paths),
        }
    )


def text(found: StatusReport, console: Console) -> str:
    """A report for people."""
    from mysticanvas.commands.console import printable, table

    rows = [("home", printable(found.home)), *_orchestrator_rows(found, console)]
    rows += [
        (f"{printable(each.kind)} worker", _worker_text(each, console)) for each in found.workers
    ]
    if found.queue is not None:
        paused = console.paint(", paused", "yellow") if found.queue.paused else ""
        rows.append(
            ("queue", f"{found.queue.running} running, {found.queue.queued} waiting{paused}")
        )
    if found.disk is not None:
        rows.append(("disk", _disk_text(found.disk)))
    width = max(len(name) for name, _ in rows)
    named = [(console.paint(name.ljust(width), "bold"), value) for name, value in rows]
    return "\n".join(table(named))


def _health(runtime: Runtime) -> Health | None:
    """What it says of itself; None if it says nothing in time."""
    from mysticanvas.client.http import ConnectionLost
    from mysticanvas.contracts.health import Health
    from mysticanvas.session import launch

    client = launch.client(runtime)
    try:
        answer = client.request("GET", "/internal/health", answer_s=_ANSWER_S)
        return Health.model_validate_json(answer)
    except ConnectionLost:
        return None
    finally:
        client.close()


def _orchestrator(runtime: Runtime, health: Health | None) -> dict[str, Any]:
    from mysticanvas.processes import memory_mib
    from mysticanvas.session import launch

    return {
        "pid": runtime.pid,
        "version": runtime.version,
        "url": runtime.url,
        "uptime_s": health.uptime_s if health else launch.identity(runtime).age_s(),
        "memory_mib": memory_mib(runtime.pid),
        "clients": health.clients if health else [],
    }


def _worker(status: WorkerStatus) -> WorkerReport:
    from mysticanvas.contracts.status import WorkerReport

    reserve = status.reserve
    return WorkerReport(
        kind=status.kind,
        state=status.state,
        pid=status.pid,
        restarts=status.restarts,
        model=status.model,
        preset=status.preset,
        memory_mib=None if status.pid is None else status.memory or None,
        last_error=status.last_error,
        reserve_pid=None if reserve is None else reserve.pid,
        reserve_mib=None if reserve is None else reserve.memory,
    )


def _disk(paths: HomePaths) -> DiskReport | None:
    import shutil

    from mysticanvas.contracts.status import DiskReport

    if not paths.root.exists():
        return None
    return DiskReport(
        free=shutil.disk_usage(paths.root).free,
        # Only ever `stat`: see the store for why its file is not to be opened.
        database=sum(map(_size, (paths.database, paths.write_ahead_log))),
        logs=_sizes(paths.logs),
        backups=_sizes(paths.backups),
    )


def _sizes(folder: Path) -> int:
    return sum(map(_size, folder.iterdir())) if folder.is_dir() else 0


def _size(file: Path) -> int:
    with contextlib.suppress(OSError):
        return file.stat().st_size
    return 0


def _orchestrator_rows(found: StatusReport, console: Console) -> list[tuple[str, str]]:
    from mysticanvas.commands.console import duration, printable

    runs = found.orchestrator
    if found.state == "starting":
        soon = "about to start, or a command is at the store"
        return [("orchestrator", console.paint(soon, "yellow"))]
    if runs is None:
        return [("orchestrator", console.paint("not running", "dim"))]
    state = console.paint("running", "green")
    if found.state == "silent":
        state = console.paint(
            "does not answer: wait a moment, or `mysticanvas stop --force`", "red"
        )
    elif found.state == "stopping":
        state = console.paint("stopping", "yellow")
    said = [
        state,
        f"process {runs.pid}",
        f"up {duration(runs.uptime_s)}",
        f"{runs.memory_mib:,.0f} MiB",
        f"version {printable(runs.version)}",
    ]
    rows = [("orchestrator", " · ".join(said))]
    if found.state == "running":
        rows.append(("clients", printable("; ".join(runs.clients)) or "none"))
    return rows


def _worker_text(worker: WorkerReport, console: Console) -> str:
    from mysticanvas.commands.console import printable

    said = [console.paint(worker.state, _STATES.get(worker.state, "dim"))]
    if worker.pid is not None:
        said.append(f"process {worker.pid}")
    if worker.memory_mib is not None:
        said.append(f"{worker.memory_mib:,.0f} MiB")
    said.append(_model_text(worker))
    if worker.restarts:
        said.append(f"restarted {worker.restarts} ×, last {printable(worker.last_error)}")
    if worker.reserve_pid is not None:
        said.append(f"in reserve: process {worker.reserve_pid}, {worker.reserve_mib:,.0f} MiB")
    return " · ".join(said)


def _model_text(worker: WorkerReport) -> str:
    from mysticanvas.commands.console import printable

    if worker.preset:
        return f"preset {printable(worker.preset)}"
    return f"model {printable(worker.model[:12])}" if worker.model else "no model"


def _disk_text(disk: DiskReport) -> str:
    from mysticanvas.commands.console import size

    parts = {"database": disk.database, "backups": disk.backups, "logs": disk.logs}
    used = ", ".join(f"{name} {size(count)}" for name, count in parts.items())
    return f"{size(disk.free)} free; {used}"
