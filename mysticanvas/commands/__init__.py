"""The commands of the command line, a module each."""

from __future__ import annotations

import argparse
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mysticanvas.settings import Settings


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings for the home of a command: `--home`, the environment, the defaults.

    Raises:
        InvalidRequest: as `unchecked`.
        OrchestratorUnavailable: home and state do not belong together, or the home cannot be read:
            what was looked for there would be another's, or would seem not to be there.
    """
    from mysticanvas.session import launch

    settings = unchecked(options)
    launch.check(settings.paths)
    return settings


def unchecked(options: argparse.Namespace) -> Settings:
    """The same for who says what is wrong with the home.

    Raises:
        InvalidRequest: a variable holds what is not allowed, or the home is a file.
    """
    # Late, so that `--help` is quick.
    from mysticanvas.contracts.refusal import refused
    from mysticanvas.session import arguments

    settings = arguments.settings(home=options.home)
    # A home that cannot be looked at is told by who needs it.
    with contextlib.suppress(OSError):
        if settings.home.exists() and not settings.home.is_dir():
            raise refused("home", str(settings.home), "the path of a folder")
    return settings
