"""`mysticanvas doctor`: is everything in order, what is not, and how to mend it.

If the orchestrator of the home runs, it is asked. Otherwise the store is opened here as the next
start would open it, while kernels that want to start wait.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

# Modules that only this command needs are imported when it runs: `--help` has to be quick.
if TYPE_CHECKING:
    from mysticanvas.contracts.doctor import Diagnosis
    from mysticanvas.settings import HomePaths, Settings

WELL, UNWELL = 0, 3
_SIGNS = {"ok": " ", "repaired": "+", "warning": "!", "problem": "×"}
_LOCK_S = 10.0


def add(commands: Any, home: argparse.ArgumentParser) -> None:
    """Add the command to the parser's subcommands; `home` is the parent with `--home`."""
    parser = commands.add_parser(
        "doctor",
        parents=[home],
        help="look whether everything is in order",
        epilog="Exit code: 0 everything is in order, or is now; 3 something is wrong; "
        "1 it could not be looked at; 2 wrong usage. A warning (!) changes nothing.",
    )
    parser.add_argument(
        "--repair",
        action="store_true",
        help="mend what can be mended: image files without a row are recorded, pictures without a "
        "file are marked as deleted, files of no use are removed",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Examine a home and print what was found."""
    from mysticanvas.settings import Settings

    settings = Settings.load(home=options.home)
    paths = settings.paths
    if not paths.root.exists():
        print("{}" if options.json else f"{paths.root} does not exist yet: nothing to look at.")
        return WELL
    diagnosis = _examined(settings, paths, options.repair)
    print(diagnosis.model_dump_json(indent=2) if options.json else _text(diagnosis))
    return WELL if diagnosis.well else UNWELL


def _examined(settings: Settings, paths: HomePaths, repair: bool) -> Diagnosis:
    from mysticanvas.errors import OrchestratorUnavailable
    from mysticanvas.processes import FileLock
    from mysticanvas.session import launch

    if launch.find(paths) is not None:
        return _asked(settings, repair)
    paths.run.mkdir(mode=0o700, exist_ok=True)
    lock = FileLock(paths.start_lock)
    if not lock.acquire(_LOCK_S):
        raise OrchestratorUnavailable(f"An orchestrator of {paths.root} is about to start or stop.")
    with lock:
        return _asked(settings, repair) if launch.find(paths) else _opened(settings, paths, repair)


def _asked(settings: Settings, repair: bool) -> Diagnosis:
    from mysticanvas.session.connection import Connection

    connection = Connection(settings)
    try:
        return connection.call(lambda api: api.doctor(repair))
    finally:
        connection.close()


def _opened(settings: Settings, paths: HomePaths, repair: bool) -> Diagnosis:
    from mysticanvas import logs
    from mysticanvas.errors import StoreError
    from mysticanvas.orchestrator.doctor import Home, examine
    from mysticanvas.plugins import loading
    from mysticanvas.store import Store

    paths.logs.mkdir(mode=0o700, exist_ok=True)
    logs.configure(paths.logs / "doctor.jsonl", "doctor")
    home = Home(
        paths, settings, None, running=False, plugins=loading.load(settings.plugins).records
    )
    if not paths.database.exists():
        # Opening would make an empty one, and the next start would not read the pictures back.
        return examine(home, repair)
    try:
        store = Store.open(paths)
    except StoreError as error:
        return examine(home._replace(store_error=str(error)), repair)
    with store:
        return examine(home._replace(store=store), repair)


def _text(diagnosis: Diagnosis) -> str:
    lines = [f"The home is {diagnosis.home}."]
    for finding in diagnosis.findings:
        lines.append(f"{_SIGNS[finding.state]} {finding.check}: {finding.message}")
        lines += [f"      {example}" for example in finding.examples]
        lines += [f"    {finding.hint}"] if finding.hint else []
    lines.append("Everything is in order." if diagnosis.well else "Something is wrong: see ×.")
    return "\n".join(lines)
