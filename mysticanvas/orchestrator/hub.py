"""Models of the Hugging Face hub that this machine has already: nothing is asked of the network."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from mysticanvas.errors import PresetError

_ID = re.compile(
    r"(?!.*\.\.)(?P<owner>[\w.-]{1,96})/(?P<name>[\w.-]{1,96})(@(?P<revision>(?!/)[\w./-]{1,96}))?"
)
"""What stays within the cache when it is part of a path."""
_ADDRESS = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)")
_MAX_NAMED = 12


class Snapshot(NamedTuple):
    """A revision of a repository, in the cache."""

    repo_id: str
    commit: str
    folder: Path

    @property
    def pinned(self) -> str:
        """The id that means this very revision."""
        return f"{self.repo_id}@{self.commit}"


class HubFile(NamedTuple):
    """A GGUF file of a repository, in the cache."""

    pinned: str
    """The id that means this very file."""
    path: Path


def is_id(text: str) -> bool:
    """Whether a text may be a hub id: `owner/name`, or `owner/name@revision`."""
    return _ID.fullmatch(text) is not None


def of_address(text: str) -> str | None:
    """The hub id of a repository whose web page is given; None for anything else."""
    match = _ADDRESS.match(text)
    return match[1] if match and is_id(match[1]) else None


def is_gguf_id(text: str) -> bool:
    """Whether a text may be the hub id of a GGUF file: as `is_id`, with `:` and the file's name in
    the repository where there are several."""
    return is_id(text.partition(":")[0])


def gguf(model: str) -> Path:
    """The file of a language model that is given as a path or a hub id.

    Raises:
        PresetError: a hub id is not in the cache, or means several files.
    """
    return locate_gguf(model).path if is_gguf_id(model) else Path(model)


def locate_gguf(gguf_id: str, folder: Path | None = None) -> HubFile:
    """The GGUF file of a hub id in the cache. Those that see for a model do not count.

    Args:
        folder: the cache; None for the usual one.

    Raises:
        PresetError: it is not there, or several are; says which, and how to name one.
    """
    hub_id, _, name = gguf_id.partition(":")
    snapshot = locate(hub_id, folder)
    every = (path for path in snapshot.folder.rglob("*.gguf") if path.is_file())
    there = sorted(
        path.relative_to(snapshot.folder).as_posix()
        for path in every
        if "mmproj" not in path.name.lower()
    )
    chosen = [each for each in there if name in ("", each)]
    if len(chosen) == 1:
        return HubFile(f"{snapshot.pinned}:{chosen[0]}", snapshot.folder / chosen[0])
    if not there:
        raise PresetError(
            f"{hub_id!r} has no .gguf file of a language model in the local cache.",
            hint=f'Get one with: canvas.models.pull({hub_id!r}, files="*Q4_K_M.gguf").result(), '
            "say.",
        )
    named = ", ".join(there[:_MAX_NAMED]) + (", …" if len(there) > _MAX_NAMED else "")
    what = f"no file {name!r}" if name else f"{len(there)} .gguf files"
    raise PresetError(
        f"{hub_id!r} has {what} in the local cache; there are: {named}.",
        hint=f"Name one: model={f'{hub_id}:{there[0]}'!r}.",
    )


def cache() -> Path:
    """The folder that huggingface_hub keeps repositories in.

    Raises:
        PresetError: nothing tells where that is.
    """
    folder = known_cache()
    if folder is None:
        raise PresetError(
            "It is not known where the local cache of the hub is: neither HF_HOME nor HF_HUB_CACHE "
            f"names a folder, and nothing tells the home directory of user {os.getuid()}.",
            hint="Set HF_HOME to a folder that you can write to, call canvas.shutdown() and try "
            "again.",
        )
    return folder


def known_cache() -> Path | None:
    """The same; None if nothing tells where it is."""
    named = os.environ.get("HF_HUB_CACHE")
    home = os.environ.get("HF_HOME") or (
        Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    )
    try:
        return Path(named).expanduser() if named else Path(home).expanduser() / "hub"
    except RuntimeError:
        return None


def locate(hub_id: str, folder: Path | None = None) -> Snapshot:
    """The revision of a hub id in the cache; of one without a revision, that of `main`.

    Args:
        folder: the cache; None for the usual one.

    Raises:
        PresetError: it is not there, or nothing tells where the cache is; says how to get it.
    """
    match = _ID.fullmatch(hub_id)
    assert match is not None
    repo_id, revision = f"{match['owner']}/{match['name']}", match["revision"] or "main"
    base = (folder or cache()) / f"models--{match['owner']}--{match['name']}"
    reference = base / "refs" / revision
    commit = reference.read_text().strip() if reference.is_file() else revision
    snapshot = base / "snapshots" / commit
    if not re.fullmatch(r"[\w.-]+", commit) or not snapshot.is_dir():
        raise PresetError(
            f"{hub_id!r} is not in the local cache {base.parent}.",
            hint=f"Get it with: canvas.models.pull({hub_id!r}).result(). If you mean a path: "
            "nothing is there, seen from the notebook's working directory.",
        )
    return Snapshot(repo_id, commit, snapshot)
