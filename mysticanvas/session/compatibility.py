"""Whether a kernel can use the orchestrator that runs, or that a start would run: pure decisions on
versions and on the runtime file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import JsonValue

from mysticanvas.contracts.runtime import Runtime
from mysticanvas.settings import Settings

KERNELS_OWN = frozenset({"home", "state", "start_timeout_s", "progress", "log_level"})
"""Settings that each kernel may have as it likes."""


RESTART = "Restart this kernel, so that it uses the version that is installed now"


class Installed(NamedTuple):
    """What a start would run; not what we are, once another version was installed under us."""

    version: str
    protocol: int


def outdated(theirs: Runtime | Installed, version: str, protocol: int) -> bool:
    """Whether what runs is older than we are, so that it is to be replaced; or what is installed,
    so that it cannot be."""
    if theirs.protocol != protocol:
        return theirs.protocol < protocol
    return theirs.version != version and _is_before(theirs.version, version)


def objection(runtime: Runtime, ours: bool, protocol: int) -> tuple[str, str] | None:
    """What keeps us from talking to it, and what to do; None if nothing does.

    A newer one of the same protocol is used as it is, and an older one can be replaced.

    Args:
        ours: whether it was started from the environment that we have.
    """
    if not ours:
        return (
            f"was started from another environment, {runtime.prefix}",
            "Stop it there with Canvas().shutdown() or `mysticanvas stop`, or use another home: "
            "Canvas(home=...) or MYSTICANVAS_HOME.",
        )
    if runtime.protocol > protocol:
        return (
            f"is MystiCanvas {runtime.version}, which is newer than this kernel and which it "
            "cannot talk to",
            f"{RESTART}, or use another home: Canvas(home=...) or MYSTICANVAS_HOME.",
        )
    return None


def conflicts(asked: Settings, running: Mapping[str, JsonValue]) -> list[str]:
    """The settings that were asked for and that what runs has otherwise, a clause each.

    What was not asked for, by argument or variable, conflicts with nothing.
    """
    wanted = asked.model_dump(mode="json")
    names = asked.model_fields_set & running.keys() - KERNELS_OWN
    return [
        f"{name}={running[name]} and not {name}={wanted[name]}"
        for name in sorted(names)
        if running[name] != wanted[name]
    ]


def _is_before(version: str, other: str) -> bool:
    # Late: nearly always, both are the same.
    from packaging.version import InvalidVersion, Version

    try:
        return Version(version) < Version(other)
    except InvalidVersion:
        # Only what another program wrote into the runtime file: none of ours has such a version.
        return True
