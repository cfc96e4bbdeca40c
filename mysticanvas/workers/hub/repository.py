"""What the hub says of a repository, and its refusals in words."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from mysticanvas import durable
from mysticanvas.errors import (
    HubUnavailable,
    ModelFileError,
    MystiCanvasError,
    NotFound,
    PermissionDenied,
    StoreFull,
)
from mysticanvas.workers.hub.selection import RepoFile

TRIES = 6
"""In a row that fail before it is given up; what brings bytes begins the count anew."""
LONGEST_PAUSE_S = 30.0
_ASK_S = 30.0
_PASSING = (408, 429, 500, 502, 503, 504)
"""Statuses after which the same question may be answered."""
COMMIT = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LOGIN = "Log in with `hf auth login` in a terminal, then pull again."
T = TypeVar("T")


class Repository(NamedTuple):
    """A repository at a commit."""

    commit: str
    files: list[RepoFile]


def ask(repo_id: str, revision: str) -> Repository:
    """The commit that a revision means, and its files.

    Raises:
        ModelFileError: the hub tells a commit or a digest that is none.
        Exception: whatever the library raises; `in_words` says what it means.
    """
    info = HfApi().model_info(repo_id, revision=revision, files_metadata=True, timeout=_ASK_S)
    files = [
        RepoFile(
            each.rfilename, each.size or 0, each.lfs.sha256 if each.lfs else each.blob_id or ""
        )
        for each in info.siblings or []
    ]
    # They become names of files and folders.
    for what, told, known in (
        ("the commit", info.sha or "", COMMIT),
        *((f"the digest of {file.name!r}", file.digest, _DIGEST) for file in files),
    ):
        if not known.fullmatch(told):
            raise ModelFileError(
                f"{constants.ENDPOINT} tells {told[:80]!r} for {what} in {repo_id!r}.",
                hint="Pull again in a while. If it stays so, what answers there is no hub.",
            )
    return Repository(info.sha or "", files)


def patiently(call: Callable[[], T], pause_s: float, done: Callable[[], int] = lambda: 0) -> T:
    """What a call gives, tried again while the hub, or the way to it, fails in passing.

    Args:
        pause_s: seconds before the second try; doubled each time.
        done: bytes that are there; tries that brought some do not count.
    """
    tries, before = 0, done()
    while True:
        try:
            return call()
        except Exception as error:
            if done() > before:
                tries, before = 0, done()
            tries += 1
            if tries >= TRIES or not _passes(error):
                raise
        time.sleep(min(LONGEST_PAUSE_S, pause_s * 2 ** (tries - 1)))


def in_words(error: Exception, repo_id: str, revision: str) -> MystiCanvasError | None:
    """The error for a user; None if it is none of the hub's."""
    if isinstance(error, MystiCanvasError):
        return error
    if isinstance(error, OfflineModeIsEnabled):
        return HubUnavailable(
            f"{repo_id!r} cannot be fetched: HF_HUB_OFFLINE forbids the network.",
            hint="Unset it, call canvas.shutdown() and pull again.",
        )
    if isinstance(error, HfHubHTTPError):
        return _refused(error, repo_id, revision)
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return PermissionDenied(
            f"{error.filename} cannot be written: {error.strerror}.",
            hint="Set HF_HUB_CACHE to a folder that you can write to.",
        )
    if durable.is_full(error):
        return StoreFull(
            f"The disk is full: {repo_id!r} was not fetched as a whole.",
            hint="Make room, then pull again: what is there is not fetched again.",
        )
    if _is_of_network(error):
        why = f"{type(error).__name__}: {_line(error).rstrip('.')}"
        return HubUnavailable(
            f"{constants.ENDPOINT} cannot be reached: {why}.",
            hint="Check the network, then pull again: what is there is not fetched again.",
        )
    return None


def _refused(error: HfHubHTTPError, repo_id: str, revision: str) -> MystiCanvasError:
    status = error.response.status_code
    if isinstance(error, GatedRepoError):
        return PermissionDenied(
            f"{repo_id!r} is gated: its owner wants its conditions to be accepted.",
            hint=f"Accept them on {constants.ENDPOINT}/{repo_id}. {_LOGIN}",
        )
    if isinstance(error, RepositoryNotFoundError):
        return NotFound(
            f"The hub has no repository {repo_id!r}, or it is private.",
            hint=f"Check its name. {_LOGIN}",
        )
    if isinstance(error, RevisionNotFoundError):
        return NotFound(
            f"The repository {repo_id!r} has no revision {revision!r}.",
            hint="Give a branch, a tag or a commit of it; without one, it is `main`.",
        )
    if status in (401, 403):
        return PermissionDenied(f"The hub refuses {repo_id!r} ({status}).", hint=_LOGIN)
    if status == 404:
        return NotFound(f"{repo_id!r} is not there, or not as a whole (404).")
    busy = "has had too many requests from here" if status == 429 else "fails"
    return HubUnavailable(
        f"The hub {busy} ({status}), for {TRIES} tries.",
        hint="Pull again in a while: what is there is not fetched again.",
    )


def _passes(error: Exception) -> bool:
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _PASSING
    return not isinstance(error, OfflineModeIsEnabled) and _is_of_network(error)


def _is_of_network(error: Exception) -> bool:
    """Whether it is the HTTP library's, whichever the hub's uses, or the system's of a socket."""
    libraries = ("httpx", "httpcore", "requests", "urllib3")
    own = any(kind.__module__.startswith(libraries) for kind in type(error).__mro__)
    return own or isinstance(error, ConnectionError | TimeoutError | Short)


class Short(OSError):
    """Fewer bytes came than a file has."""


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]
