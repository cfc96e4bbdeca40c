"""Thumbnails: those that are missing made in the background, one that is wanted at once."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from mysticanvas import logs
from mysticanvas.contracts import thumbnails
from mysticanvas.contracts.ids import short
from mysticanvas.contracts.images import FileRecord
from mysticanvas.contracts.params import refused
from mysticanvas.contracts.thumbnails import ThumbnailAnswer, ThumbnailOrder
from mysticanvas.errors import Conflict, MystiCanvasError, NotFound, StoreError, StoreFull
from mysticanvas.orchestrator.files.pool import Pool
from mysticanvas.orchestrator.queue.context import JobContext
from mysticanvas.store import Store
from mysticanvas.store.files import Original

BATCH = 100
"""Pictures whose thumbnails are recorded in one transaction."""
WAIT_S = 20.0
"""Seconds that somebody who wants a thumbnail waits for it at most."""


class _Ordered(NamedTuple):
    original: Original
    answer: Future[ThumbnailAnswer]


class Thumbnails:
    """The thumbnails of a home.

    Args:
        store: where they are recorded.
        home: the folder that paths are relative to.
        pool: what makes them.
    """

    def __init__(self, store: Store, home: Path, pool: Pool) -> None:
        self._store = store
        self._home = home
        self._pool = pool

    def get(self, image_id: str, size: int, wait_s: float = WAIT_S) -> bytes:
        """A thumbnail as a WebP file, made now if it is missing.

        Args:
            image_id: a whole id.
            size: 256 or 512, the longest side in px.
            wait_s: seconds to wait for it.

        Raises:
            InvalidRequest: there are no thumbnails of this size.
            NotFound: there is no such picture, or there can be no thumbnail of it.
            Conflict: it is not ready in time; it is made nevertheless.
            StoreFull, StoreError: it cannot be written.
        """
        if size not in thumbnails.SIZES:
            raise refused("size", size, " or ".join(map(str, thumbnails.SIZES)))
        original = self._store.files.original(image_id)
        path = self._home / thumbnails.path(original.id, size)
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes()
        known = self._store.files.failure(original.seq)
        if known is not None:
            raise _unfit(original, known)
        ordered = self._order(original, urgent=True)
        try:
            answer = ordered.answer.result(wait_s)
        except TimeoutError:
            raise Conflict(
                f"The thumbnail of image {short(original.id)} is not ready yet.",
                hint="Ask again in a moment.",
            ) from None
        self._record([(original, answer)])
        if answer.unfit:
            raise _unfit(original, answer.unfit)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            # Deleted and swept while it was made.
            raise NotFound(f"The files of image {short(original.id)} are gone.") from None

    def run(self, context: JobContext) -> dict[str, JsonValue]:
        """Make what is missing; a job.

        Returns:
            `made` and `failed`: pictures.

        Raises:
            JobCancelled: it was to end; what is recorded is kept.
            StoreFull, StoreError: files cannot be written.
        """
        made = failed = 0
        last_seq = max(1, self._store.files.last_seq())
        flight: deque[_Ordered] = deque()
        done: list[tuple[Original, ThumbnailAnswer]] = []
        try:
            for original in self._store.files.without_thumbnails():
                context.check()
                if len(flight) >= self._pool.capacity:
                    done.append(_landed(flight.popleft()))
                if len(done) >= BATCH:
                    failed += self._record(done)
                    made += len(done)
                    done = []
                    context.progress(original.seq / last_seq, "thumbnails")
                flight.append(self._order(original))
            done += [_landed(ordered) for ordered in flight]
        finally:
            failed += self._record(done)
            made += len(done)
        return {"made": made - failed, "failed": failed}

    def _order(self, original: Original, urgent: bool = False) -> _Ordered:
        order = ThumbnailOrder(
            image_id=original.id,
            source=original.path,
            urgent=urgent,
            request_id=logs.request_id(),
        )
        return _Ordered(original, self._pool.submit(order))

    def _record(self, done: Sequence[tuple[Original, ThumbnailAnswer]]) -> int:
        """Record what came of orders; how many can have no thumbnail."""
        made: list[tuple[Original, list[FileRecord]]] = []
        failed = []
        for original, answer in done:
            if answer.unfit:
                failed.append((original, answer.unfit))
            elif answer.files:
                made.append((original, answer.files))
        if made:
            for path in self._store.files.add(made):
                (self._home / path).unlink(missing_ok=True)
        self._store.files.add_failures(failed)
        for _, answer in done:
            if answer.errno:
                raise _not_written(answer.errno)
        return len(failed)


def _landed(ordered: _Ordered) -> tuple[Original, ThumbnailAnswer]:
    return ordered.original, ordered.answer.result()


def _unfit(original: Original, reason: str) -> MystiCanvasError:
    return NotFound(
        f"There can be no thumbnail of image {short(original.id)}: {reason}.",
        hint="`mysticanvas doctor` says what is wrong with it; with --repair it is tried again.",
    )


def _not_written(number: int) -> StoreError:
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreFull(
            "There is no space left for thumbnails.", hint="Free some space on that disk."
        )
    return StoreError(f"Thumbnails cannot be written: {os.strerror(max(0, number))}.")
