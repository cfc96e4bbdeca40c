"""`mysticanvas doctor`: is everything in order, what is not, and how to mend it.

If the orchestrator of the home runs, it is asked. Otherwise the store is opened here as the next
start would open it, while kernels that want to start wait.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from mysticanvas import ownership
from mysticanvas.commands import unchecked

# Modules that only this command needs are imported when it runs: `--help` has to be quick.
if TYPE_CHECKING:
    from mysticanvas.commands.console import Console
    from mysticanvas.contracts.doctor import Diagnosis, State
    from mysticanvas.home import HomePaths
    from mysticanvas.settings import Settings

WELL, UNWELL = 0, 3
_SIGNS = {
    "ok": ("✓", "green"),
    "repaired": ("+", "cyan"),
    "warning": ("!", "yellow"),
    "problem": ("×", "red", "bold"),
}
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
    from mysticanvas.commands.console import Console, explained

    with explained(options.json):
        settings = unchecked(options)
    # Where the home cannot take our log, it comes to standard output, which is for the diagnosis.
    with contextlib.redirect_stdout(sys.stderr):
        diagnosis = diagnose(settings, settings.paths, options.repair)
    if options.json:
        print(diagnosis.model_dump_json(indent=2))
    else:
        print(text(diagnosis, Console.of()))
    return WELL if diagnosis.well else UNWELL


def diagnose(settings: Settings, paths: HomePaths, repair: bool) -> Diagnosis:
    """Examine a home, and whatever runs for it.

    What keeps it from being opened, an orchestrator that cannot be asked say, is found as well.
    """
    from mysticanvas.errors import OrchestratorUnavailable
    from mysticanvas.locks import LocksDoNotHold
    from mysticanvas.session import launch

    try:
        if not paths.root.exists():
            return _without_home(settings, paths)
        launch.check(paths)
    except (OSError, OrchestratorUnavailable) as error:
        # Nothing is mended: what looks as if nobody needed it may be that of an orchestrator whose
        # state we did not find.
        found = _unopened(settings, paths, False, "It is not opened.")
        detail, hint = getattr(error, "detail", str(error)), getattr(error, "hint", "")
        return _with(found, "home", "problem", detail, hint)
    try:
        return _looked_at(settings, paths, repair)
    except OrchestratorUnavailable as error:
        found = _unopened(settings, paths, repair, "It is in use by what cannot be asked.")
        return _with(found, "orchestrator", "problem", error.detail, error.hint)
    except LocksDoNotHold:
        # Without them the store cannot be had alone; the check of the locks says what to do.
        return _unopened(settings, paths, repair, "It is not opened where locks do not hold.")
    except OSError as error:
        return _unopened(settings, paths, repair, f"It is not opened: {error}.")


def _looked_at(settings: Settings, paths: HomePaths, repair: bool) -> Diagnosis:
    """The diagnosis of who runs, or else ours, while nobody can start."""
    from mysticanvas.errors import OrchestratorUnavailable
    from mysticanvas.locks import FileLock
    from mysticanvas.session import launch

    if launch.find(paths) is not None:
        return _asked(paths, repair)
    paths.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock(paths.start_lock)
    if not lock.acquire(_LOCK_S):
        raise OrchestratorUnavailable("An orchestrator is about to start or stop.")
    with lock:
        if launch.find(paths) is not None:
            return _asked(paths, repair)
        launch.refuse_elsewhere(paths)
        _await_end(settings, paths)
        return _opened(settings, paths, repair)


def text(diagnosis: Diagnosis, console: Console) -> str:
    """A diagnosis for people."""
    from mysticanvas.commands.console import printable

    lines = [f"The home is {printable(diagnosis.home)}."]
    for finding in diagnosis.findings:
        sign, *styles = _SIGNS[finding.state]
        lines.append(
            f"{console.paint(sign, *styles)} {finding.check}: {printable(finding.message)}"
        )
        lines += [f"      {printable(example)}" for example in finding.examples]
        lines += [console.paint(f"    {finding.hint}", "cyan")] if finding.hint else []
    counts = Counter(finding.state for finding in diagnosis.findings)
    if not diagnosis.well:
        lines.append(console.paint(f"{counts['problem']} × something is wrong: see ×.", "red"))
    elif counts["warning"]:
        lines.append(console.paint("Nothing is wrong; see ! for what to know.", "yellow"))
    else:
        lines.append(console.paint("Everything is in order.", "green"))
    return "\n".join(lines)


def _without_home(settings: Settings, paths: HomePaths) -> Diagnosis:
    from mysticanvas.orchestrator.doctor import SURROUNDINGS, Home, examine

    found = examine(Home(paths, settings, None, running=False), False, SURROUNDINGS)
    return _with(found, "home", "ok", f"{paths.root} does not exist yet; the first start makes it.")


def _asked(paths: HomePaths, repair: bool) -> Diagnosis:
    from mysticanvas.client.api import Api
    from mysticanvas.client.http import AnswerTimeout, ConnectionLost
    from mysticanvas.errors import OrchestratorUnavailable
    from mysticanvas.session import launch

    runtime = launch.find(paths)
    if runtime is None:
        raise OrchestratorUnavailable("The orchestrator is stopping.", hint="Ask again.")
    api = Api(launch.client(runtime))
    try:
        # Asked first: this is answered at once, and the examination may take a while.
        api.health()
        found = api.doctor(repair)
    except ConnectionLost as lost:
        if isinstance(lost, AnswerTimeout) and api.answers():
            raise OrchestratorUnavailable(
                f"Process {runtime.pid} is still at work on it: {lost}.",
                hint="It goes on with it; ask again later.",
            ) from lost
        raise OrchestratorUnavailable(
            f"Process {runtime.pid} does not answer: {lost}.",
            hint="Wait a moment; `mysticanvas stop --force` ends it, and nothing is lost.",
        ) from lost
    finally:
        api.close()
    return _with(found, "orchestrator", "ok", f"Process {runtime.pid} runs, and answers.")


def _await_end(settings: Settings, paths: HomePaths) -> None:
    """Wait for an orchestrator that is stopping: it has the store, and its file, till its end."""
    from mysticanvas.errors import OrchestratorUnavailable
    from mysticanvas.session import launch

    ending = launch.ending(paths)
    if ending is not None and not launch.identity(ending).wait_gone(settings.end_timeout_s):
        raise OrchestratorUnavailable(
            f"Process {ending.pid} is stopping, and is not done within "
            f"{settings.end_timeout_s:g} s.",
            hint="Wait a moment; `mysticanvas stop --force` ends it, and nothing is lost.",
        )


def _unopened(settings: Settings, paths: HomePaths, repair: bool, why: str) -> Diagnosis:
    """What can be seen without the store."""
    from mysticanvas.orchestrator.doctor import Home, examine
    from mysticanvas.plugins import loading

    plugins = loading.load(settings.plugins).records
    home = Home(paths, settings, None, why, running=True, plugins=plugins)
    return examine(home, repair)


@ownership.private()
def _opened(settings: Settings, paths: HomePaths, repair: bool) -> Diagnosis:
    from mysticanvas import logs
    from mysticanvas.errors import StoreError
    from mysticanvas.orchestrator.doctor import Home, examine
    from mysticanvas.plugins import loading
    from mysticanvas.store import Store, opener

    paths.logs.mkdir(mode=0o700, exist_ok=True)
    logs.configure(paths.logs / "commands.jsonl", "command")
    orchestrator = _stale(paths, repair)
    plugins = loading.load(settings.plugins).records
    home = Home(paths, settings, None, running=False, plugins=plugins)
    try:
        if opener.never_was(paths):
            # Opening would make one, and the next start would not read the pictures back.
            return _with(examine(home, repair), *orchestrator)
        store = Store.open(paths)
    except StoreError as error:
        return _with(examine(home._replace(store_error=str(error)), repair), *orchestrator)
    with store:
        return _with(examine(home._replace(store=store), repair), *orchestrator)


def _stale(paths: HomePaths, repair: bool) -> tuple[str, State, str, str]:
    """What there is of an orchestrator while none runs. The start lock is held."""
    if not paths.runtime_file.exists():
        return "orchestrator", "ok", "None runs; the next call starts one.", ""
    said = f"None runs, but {paths.runtime_file.name} says so: it was killed, or the machine was."
    if repair:
        paths.runtime_file.unlink(missing_ok=True)
        return "orchestrator", "repaired", f"{said} The file is gone.", ""
    hint = "The next start puts it right; `mysticanvas doctor --repair` removes the file."
    return "orchestrator", "warning", said, hint


def _with(
    diagnosis: Diagnosis, check: str, state: State, message: str, hint: str = ""
) -> Diagnosis:
    """A diagnosis with a finding before all others."""
    from mysticanvas.contracts.doctor import Finding

    first = Finding(check=check, state=state, message=message, hint=hint)
    return diagnosis.model_copy(update={"findings": [first, *diagnosis.findings]})
