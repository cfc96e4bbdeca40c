"""A model that is fetched from the Hugging Face hub: what is asked for, and what came of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.models import FoundModel
from mysticanvas.contracts.problem import Problem

MAX_PATTERNS = 50
_MAX_ID_CHARS, _MAX_REVISION_CHARS, _MAX_PATTERN_CHARS = 300, 96, 300
ALLOWED = {
    "repo_id": f'"owner/name" or "owner/name@revision", at most {_MAX_ID_CHARS} characters',
    "revision": "a branch, a tag or a commit, at most "
    f"{_MAX_REVISION_CHARS} characters; None for main",
    "files": f'a pattern of names such as "*Q4_K_M.gguf", or at most {MAX_PATTERNS} patterns, each '
    f"of 1 to {_MAX_PATTERN_CHARS} characters",
}
"""Parameter -> what is allowed, in the words of the error."""
Stage = Literal["list", "download", "verify"]


class PullParams(Contract):
    """What a job of the kind `pull` does."""

    repo_id: Annotated[str, Field(min_length=1, max_length=_MAX_ID_CHARS)]
    """`owner/name`, or `owner/name@revision`."""
    revision: Annotated[str, Field(min_length=1, max_length=_MAX_REVISION_CHARS)] | None = None
    """Branch, tag or commit; None for `main`."""
    files: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=_MAX_PATTERN_CHARS)], ...],
        Field(max_length=MAX_PATTERNS),
    ] = ()
    """Patterns such as `*Q4_K_M.gguf`: only weights with a name that fits one; empty for all."""


class PullReport(Contract):
    """What became of it."""

    repo_id: str
    revision: str
    """As it was asked for."""
    commit: str
    """What that meant: `preset="owner/name@commit"` is these very files for ever."""
    path: str
    """The folder in the cache of the hub."""
    files: int
    bytes: int
    """Of all these files."""
    fetched_bytes: int
    """Of those that were not there yet."""
    left_out: list[str] = []
    """Files of the repository that no local model needs, or that must not be trusted: pickles,
    code, copies in another number format."""
    models: list[FoundModel] = []
    """What is there now."""


class PullOrder(Contract):
    """What the process is told that fetches."""

    repo_id: str
    revision: str
    files: tuple[str, ...] = ()
    cache: str
    """Folder that the hub's own tools use."""
    pause_s: float = 1.0
    """Seconds before the second try of something that failed; doubled each time."""


class PullNews(Contract):
    """A line of that process: how far it is, or how it ended."""

    stage: Stage = "download"
    done: int = 0
    total: int = 0
    """Bytes."""
    report: PullReport | None = None
    problem: Problem | None = None
