"""How much memory Linux allows the control groups that we are in, such as a container's."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

_UNLIMITED_BYTES = 1 << 62
"""Version 1 says "no limit" as the largest number of whole pages, which depends on their size."""
_NAMES = {
    "cgroup2": ("memory.max", "memory.current"),
    "cgroup": ("memory.limit_in_bytes", "memory.usage_in_bytes"),
}
"""By version: where the limit stands, and what is used."""
# Not the inactive part alone, by which Kubernetes evicts: a file that was read twice is active,
# and given back as well before anything is killed. Those of version 1 that include groups below
# begin with `total_`; version 2 has no others.
_RECLAIMABLE = ("active_file", "inactive_file", "slab_reclaimable")


class Room(NamedTuple):
    """What a group may have, and what it can still get, in bytes."""

    limit: int
    free: int


Group = tuple[str, Path]
"""The type of its file system, `cgroup2` or `cgroup` for version 1; and its folder."""


@functools.cache
def own() -> list[Group]:
    """Those of this process, which stays in them; none where the system has no such groups."""
    with contextlib.suppress(OSError, ValueError):
        texts = (Path("/proc/self", name).read_text() for name in ("cgroup", "mountinfo"))
        return list(groups(*texts))
    return []


def rooms(within: Sequence[Group]) -> list[Room]:
    """Those of the groups that have a limit."""
    return [room for kind, folder in within if (room := _room(folder, *_NAMES[kind])) is not None]


def groups(membership: str, mounts: str) -> Iterator[Group]:
    """The groups that limit a process's memory, from its own to the outermost that it can see.

    Args:
        membership: text of `/proc/self/cgroup`.
        mounts: text of `/proc/self/mountinfo`.
    """
    paths = dict(_paths(membership))
    for line in mounts.splitlines():
        place, _, system = line.partition(" - ")
        root, point = place.split(" ")[3:5]
        kind, *_, options = system.split(" ")
        controller = {"cgroup2": "", "cgroup": "memory"}.get(kind)
        if controller not in paths or (controller and controller not in options.split(",")):
            continue
        inside = PurePosixPath(_inside(paths[controller], root))
        for path in (inside, *inside.parents):
            yield kind, Path(point, path)


def limit_bytes(text: str) -> int | None:
    """What a group may have; None if it has no limit.

    Args:
        text: of `memory.max`, or `memory.limit_in_bytes` of version 1.
    """
    limit = None if text.strip() == "max" else int(text)
    return None if limit is None or limit >= _UNLIMITED_BYTES else limit


def free_bytes(limit: int, usage: str, stat: str) -> int:
    """What a group can still get without swapping.

    Args:
        limit: what it may have.
        usage: text of `memory.current`, or `memory.usage_in_bytes` of version 1.
        stat: text of `memory.stat`.
    """
    counts = {name: int(value) for name, value in map(str.split, stat.splitlines())}
    back = sum(counts.get(f"total_{name}", counts.get(name, 0)) for name in _RECLAIMABLE)
    return max(0, limit - max(0, int(usage) - back))


def _paths(membership: str) -> Iterable[tuple[str, str]]:
    """Controller -> path of the group; version 2 has none, so it is the empty one."""
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        yield from ((name, path) for name in controllers.split(","))


def _inside(path: str, root: str) -> str:
    """A group's path below a mount of the group `root`; the mount itself, if it is not below it as
    far as can be seen from here."""
    below = PurePosixPath(path)
    if ".." in below.parts or not below.is_relative_to(root):
        return "."
    return str(below.relative_to(root))


def _room(folder: Path, limit_name: str, usage_name: str) -> Room | None:
    # The outermost group has no such files in version 2, nor has a group that was removed.
    with contextlib.suppress(OSError, ValueError):
        limit = limit_bytes((folder / limit_name).read_text())
        if limit is not None:
            usage, stat = ((folder / name).read_text() for name in (usage_name, "memory.stat"))
            return Room(limit, free_bytes(limit, usage, stat))
    return None
