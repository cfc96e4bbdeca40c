"""The commands for the store: `backup`, `restore`, `migrate`.

They are the only code that meets both sides: the orchestrator if one runs, else the store itself.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mysticanvas import ownership
from mysticanvas.commands import settings_of
from mysticanvas.commands.console import say
from mysticanvas.commands.stop import stop

if TYPE_CHECKING:
    from mysticanvas.home import HomePaths
    from mysticanvas.store import Store
    from mysticanvas.store.restore import Restored

_FORCE = "even while others use what runs"


def add(commands: Any, home: argparse.ArgumentParser) -> None:
    """Add the commands to the parser's subcommands; `home` is the parent with `--home`."""
    backup = commands.add_parser(
        "backup", parents=[home], help="copy the store into a new file, while it runs"
    )
    backup.add_argument("file", type=Path, metavar="FILE", help="must not exist yet")
    backup.set_defaults(run=_backup)

    restore = commands.add_parser(
        "restore", parents=[home], help="stop what runs, and bring a backup back"
    )
    source = restore.add_mutually_exclusive_group(required=True)
    source.add_argument("file", type=Path, nargs="?", metavar="FILE", help="a backup")
    source.add_argument("--latest", action="store_true", help="the newest daily backup")
    source.add_argument(
        "--from-images", action="store_true", help="no backup: only what the image files hold"
    )
    restore.add_argument("--force", action="store_true", help=_FORCE)
    restore.set_defaults(run=_restore)

    migrate = commands.add_parser(
        "migrate", parents=[home], help="stop what runs, and bring the store to the newest schema"
    )
    migrate.add_argument("--force", action="store_true", help=_FORCE)
    migrate.set_defaults(run=_migrate)


@ownership.private()
def _backup(options: argparse.Namespace) -> int:
    from mysticanvas.client.api import Api
    from mysticanvas.client.http import ConnectionLost
    from mysticanvas.errors import OrchestratorUnavailable
    from mysticanvas.session import launch

    paths, target = settings_of(options).paths, _file(options)
    runtime = launch.find(paths)
    if runtime is None:
        _check_store(paths)
        with _store(paths) as store:
            made = store.backups.save(target)
    else:
        api = Api(launch.client(runtime))
        try:
            made = api.backup(str(target))
        except ConnectionLost as lost:
            raise OrchestratorUnavailable(
                f"The orchestrator did not answer: {lost}.", hint=f"See whether {target} is there."
            ) from lost
        finally:
            api.close()
    say(f"{made.path}: {made.images:,} pictures, {made.bytes / 1e6:,.1f} MB")
    return 0


@ownership.private()
def _restore(options: argparse.Namespace) -> int:
    from mysticanvas.store import restore

    paths = settings_of(options).paths
    _log_to(paths)
    backup = _backup_meant(options, paths)
    # Whatever stands in the way is said before anything is stopped.
    restore.check(paths, backup)
    stop(settings_of(options), options.force)
    _tell(paths, restore.restore(paths, backup) if backup else restore.restore_from_images(paths))
    return 0


def _backup_meant(options: argparse.Namespace, paths: HomePaths) -> Path | None:
    from mysticanvas.store import restore

    if options.from_images:
        return None
    return restore.latest(paths) if options.latest else _file(options)


def _file(options: argparse.Namespace) -> Path:
    from mysticanvas.session import arguments

    return arguments.path("FILE", options.file, "the path of a file").absolute()


def _tell(paths: HomePaths, done: Restored) -> None:
    say(f"{paths.root}: {'a new store' if done.backup is None else f'restored {done.backup}'}")
    if done.aside is not None:
        say(f"What was there is kept as {done.aside}")
    say(f"Read back from image files: {done.images.added:,} pictures")
    for remark in done.images.remarks():
        say(remark)
    for line in done.images.skipped:
        say(f"  not read: {line}")


@ownership.private()
def _migrate(options: argparse.Namespace) -> int:
    paths = settings_of(options).paths
    _check_store(paths)
    stop(settings_of(options), options.force)
    with _store(paths) as store:
        before, after = store.versions
    if before == after:
        say(f"{paths.root} has schema version {after} already.")
    else:
        say(f"{paths.root}: from schema version {before} to {after}.")
    return 0


def _check_store(paths: HomePaths) -> None:
    """Refuse a home without a store: opening would make an empty one in whatever folder was named.

    Raises:
        NotFound: there never was one.
        StoreDamaged: there was one.
    """
    from mysticanvas.errors import NotFound
    from mysticanvas.store import opener

    if opener.never_was(paths):
        raise NotFound(
            f"There is no store in {paths.root}.",
            hint="Name another folder with --home; or start with Canvas(), which makes a store, "
            "from image files if there are any.",
        )


def _store(paths: HomePaths) -> Store:
    from mysticanvas.store import Store

    _log_to(paths)
    return Store.open(paths)


def _log_to(paths: HomePaths) -> None:
    """What the store logs belongs with the other logs; standard output is for the outcome."""
    from mysticanvas import logs

    paths.create()
    logs.configure(paths.logs / "commands.jsonl", "command")
