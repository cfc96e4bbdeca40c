"""Fetches a model into the cache of the hub, where all programs look for it."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.file_download import repo_folder_name

from mysticanvas.contracts.pulls import PullNews, PullOrder, PullReport, Stage
from mysticanvas.errors import Conflict, StoreFull
from mysticanvas.locks import FileLock, LocksDoNotHold
from mysticanvas.workers.hub import repository, selection, transfer
from mysticanvas.workers.hub.selection import RepoFile

RESERVE_BYTES = 256 << 20
"""That a disk keeps."""
_LOCK_S = 10.0
"""An earlier process of ours may be about to end."""
_TELL_S = 0.1

Tell = Callable[[PullNews], None]


def pull(order: PullOrder, tell: Tell) -> PullReport:
    """Fetch what is not there yet.

    Args:
        tell: is given how far it is.

    Raises:
        MystiCanvasError: in words for a user.
    """
    try:
        return _pull(order, tell)
    except Exception as error:
        said = repository.in_words(error, order.repo_id, order.revision)
        if said is None or said is error:
            raise
        raise said from error


def _pull(order: PullOrder, tell: Tell) -> PullReport:
    tell(PullNews(stage="list"))
    found = repository.patiently(
        lambda: repository.ask(order.repo_id, order.revision), order.pause_s
    )
    chosen = selection.select(order.repo_id, found.files, order.files)
    base = Path(order.cache) / repo_folder_name(repo_id=order.repo_id, repo_type="model")
    blobs = base / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    with _alone(order):
        progress = _Progress(chosen.taken, blobs, tell)
        before = progress.done
        _require_room(order.repo_id, blobs, progress.total - before)
        for file in chosen.taken:
            told = progress.of(file)
            transfer.fetch(order.repo_id, found.commit, file, blobs, told, order.pause_s)
        progress.say("verify")
        folder = repository.patiently(
            lambda: snapshot_download(
                order.repo_id,
                revision=found.commit,
                cache_dir=order.cache,
                allow_patterns=[glob.escape(file.name) for file in chosen.taken],
                max_workers=1,
            ),
            order.pause_s,
        )
        if not repository.COMMIT.fullmatch(order.revision):
            _point(base / "refs" / order.revision, found.commit)
    return PullReport(
        repo_id=order.repo_id,
        revision=order.revision,
        commit=found.commit,
        path=folder,
        files=len(chosen.taken),
        bytes=progress.total,
        fetched_bytes=progress.total - before,
        left_out=chosen.left_out,
    )


class _Progress:
    """How far all files are together. A digest that several have is one file."""

    def __init__(self, files: list[RepoFile], blobs: Path, tell: Tell) -> None:
        self._tell = tell
        self._told_at = 0.0
        self._sizes = {file.digest: file.size for file in files}
        self._there = {file.digest: transfer.there_bytes(blobs, file) for file in files}
        self.say("download")

    @property
    def total(self) -> int:
        return sum(self._sizes.values())

    @property
    def done(self) -> int:
        return sum(self._there.values())

    def of(self, file: RepoFile) -> transfer.Told:
        """What is to be told of a file."""

        def told(there: int) -> None:
            self._there[file.digest] = there
            if time.monotonic() - self._told_at >= _TELL_S:
                self.say("download")

        return told

    def say(self, stage: Stage) -> None:
        """Tell, now."""
        self._told_at = time.monotonic()
        self._tell(PullNews(stage=stage, done=self.done, total=self.total))


@contextlib.contextmanager
def _alone(order: PullOrder) -> Iterator[None]:
    """Keep a second process from writing into the same files."""
    folder = Path(order.cache) / ".locks" / order.repo_id.replace("/", "--")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"mysticanvas-{os.getuid()}.lock")
    try:
        held = lock.acquire(_LOCK_S)
    except LocksDoNotHold:
        # Then the digests tell, at the end, whether two have mixed their bytes.
        held = True
    if not held:
        raise Conflict(
            f"{order.repo_id!r} is being fetched by another process.",
            hint="Wait for that one, or end it; then pull again.",
        )
    try:
        yield
    finally:
        lock.release()


def _require_room(repo_id: str, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed and free < needed + RESERVE_BYTES:
        raise StoreFull(
            f"{repo_id!r} takes {needed / 2**20:,.0f} MiB more, and {free / 2**20:,.0f} MiB are "
            f"free in {folder}, of which {RESERVE_BYTES >> 20} are to stay so.",
            hint="Make room, or set HF_HUB_CACHE to a folder on a larger disk.",
        )


def _point(reference: Path, commit: str) -> None:
    """Have a revision mean a commit, now that it is there as a whole."""
    reference.parent.mkdir(parents=True, exist_ok=True)
    fresh = reference.with_name(f".{reference.name}.{os.getpid()}")
    fresh.write_text(commit)
    fresh.replace(reference)
