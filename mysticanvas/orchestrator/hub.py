"""Models of the Hugging Face hub that this machine has already: nothing is asked of the network."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from mysticanvas.errors import PresetError

_ID = re.compile(r"(?P<owner>[\w.-]{1,96})/(?P<name>[\w.-]{1,96})(@(?P<revision>[\w./-]{1,96}))?")


class Snapshot(NamedTuple):
    """A revision of a repository, in the cache."""

    repo_id: str
    commit: str
    folder: Path

    @property
    def pinned(self) -> str:
        """The id that means this very revision."""
        return f"{self.repo_id}@{self.commit}"


def is_id(text: str) -> bool:
    """Whether a text may be a hub id: `owner/name`, or `owner/name@revision`."""
    return _ID.fullmatch(text) is not None and ".." not in text


def cache() -> Path:
    """The folder that huggingface_hub keeps repositories in."""
    if named := os.environ.get("HF_HUB_CACHE"):
        return Path(named).expanduser()
    home = os.environ.get("HF_HOME") or (
        Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    )
    return Path(home).expanduser() / "hub"


def locate(hub_id: str, folder: Path | None = None) -> Snapshot:
    """The revision of a hub id in the cache; of one without a revision, that of `main`.

    Args:
        folder: the cache; None for the usual one.

    Raises:
        PresetError: it is not there; says how to get it.
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
            hint=f"Get it with: canvas.models.pull({hub_id!r}).result()",
        )
    return Snapshot(repo_id, commit, snapshot)
