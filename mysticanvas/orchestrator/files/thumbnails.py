"""Thumbnails: those that are missing made in the background, one that is wanted at once."""

from __future__ import annotations

import contextlib
import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from mysticanvas import durable, logs
from mysticanvas.contracts import thumbnails
from mysticanvas.contracts.ids import short
from mysticanvas.contracts.params import refused
from mysticanvas.contracts.thumbnails import ThumbnailAnswer, ThumbnailOrder
from mysticanvas.errors import Conflict, MystiCanvasError, NotFound, StoreError, StoreFull
from mysticanvas.orchestrator.files.pool import Pool
from mysticanvas.orchestrator.queue.context import JobContext
from mysticanvas.store import Store
from mysticanvas.store.files import Original

_log = logs.get(__name__)
BATCH = 100
"""Pictures whose thumbnails are recorded in one transaction."""
MOST_UNREAD = 1_000
"""Pictures, one after the other, whose files cannot be read before a run takes it that none can."""
WAIT_S = 20.0
"""Seconds that somebody who wants a thumbnail waits for it at most."""
_TICK_S = 0.5


class _Ordered(NamedTuple):
    original: Original
    answer: Future[ThumbnailAnswer]


class _Landed(NamedTuple):
    original: Original
    answer: ThumbnailAnswer


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
            NotFound: there is no such picture, its file cannot be read, or there can be no
                thumbnail of it.
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
        self._record([_Landed(original, answer)])
        if answer.unfit:
            raise _unfit(original, answer.unfit)
        if answer.unread:
            raise _unread(original, answer.unread)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            # Deleted and swept while it was made.
            raise NotFound(f"The files of image {short(original.id)} are gone.") from None

    def run(self, context: JobContext, whole: bool = True) -> dict[str, JsonValue]:
        """Make what is missing; a job.

        Args:
            whole: whether all pictures are looked at; else those that came since nothing was found
                to be missing.

        Returns:
            `made`, `failed` and `unread`: pictures that have them, that can have none, and whose
            files could not be read and are tried again by the next run.

        Raises:
            JobCancelled: it was to end; what is recorded is kept.
            StoreFull, StoreError: files cannot be written, or none can be read.
        """
        files = self._store.files
        begins, last_seq = 0 if whole else files.complete_to, files.last_seq()
        tally = Counter({"made": 0, "failed": 0, "unread": 0})
        done: list[_Landed] = []
        unread = 0
        try:
            for landed in self._landed(context, begins):
                done.append(landed)
                unread = unread + 1 if landed.answer.unread else 0
                if unread >= MOST_UNREAD:
                    raise _none_can_be_read(landed.answer.unread)
                if len(done) >= BATCH:
                    tally.update(self._record(done))
                    done = []
                    context.progress(landed.original.seq / max(1, last_seq), "thumbnails")
        finally:
            tally.update(self._record(done))
        if tally["unread"]:
            _log.warning("pictures_not_read", pictures=tally["unread"])
        else:
            files.complete_to = last_seq
        return dict(tally)

    def _landed(self, context: JobContext, after: int) -> Iterator[_Landed]:
        """What came of ordering all that are missing behind a picture, oldest first."""
        flight: deque[_Ordered] = deque()
        for original in self._store.files.without_thumbnails(after, context.check):
            context.check()
            if len(flight) >= self._pool.capacity:
                yield _wait_for(flight.popleft(), context)
            flight.append(self._order(original))
        for ordered in flight:
            yield _wait_for(ordered, context)

    def _order(self, original: Original, urgent: bool = False) -> _Ordered:
        order = ThumbnailOrder(
            image_id=original.id,
            source=original.path,
            urgent=urgent,
            request_id=logs.request_id(),
        )
        return _Ordered(original, self._pool.submit(order))

    def _record(self, done: Sequence[_Landed]) -> dict[str, int]:
        """Record what came of orders; how many of each outcome, as `run` returns it."""
        made = [(original, answer.files) for original, answer in done if answer.files]
        failed = [(original, answer.unfit) for original, answer in done if answer.unfit]
        unread = sum(bool(answer.unread) for _, answer in done)
        if made:
            for path in self._store.files.add(made):
                (self._home / path).unlink(missing_ok=True)
        self._store.files.add_failures(failed)
        for _, answer in done:
            if answer.errno:
                raise _not_written(answer.errno)
        return {"made": len(made), "failed": len(failed), "unread": unread}


def _wait_for(ordered: _Ordered, context: JobContext) -> _Landed:
    """What came of an order, which a job waits for no longer than it may run."""
    while True:
        with contextlib.suppress(TimeoutError):
            return _Landed(ordered.original, ordered.answer.result(_TICK_S))
        context.check()


def _unfit(original: Original, reason: str) -> MystiCanvasError:
    return NotFound(
        f"There can be no thumbnail of image {short(original.id)}: {reason}.",
        hint="`mysticanvas doctor` says what is wrong with it; with --repair it is tried again.",
    )


def _unread(original: Original, reason: str) -> MystiCanvasError:
    return NotFound(
        f"The file of image {short(original.id)} cannot be read: {reason}.",
        hint="Is a disk not mounted? It is tried again whenever the thumbnail is asked for; "
        "`mysticanvas doctor` says whose files are gone.",
    )


def _none_can_be_read(reason: str) -> StoreError:
    return StoreError(
        f"The files of {MOST_UNREAD:,} pictures, one after the other, cannot be read: {reason}.",
        hint="Is a disk not mounted? `mysticanvas doctor` says whose files are gone; with --repair "
        "it marks those pictures as deleted. The next run tries them again.",
    )


def _not_written(number: int) -> StoreError:
    if number in durable.FULL:
        return StoreFull(
            "There is no space left for thumbnails.", hint="Free some space on that disk."
        )
    return StoreError(f"Thumbnails cannot be written: {os.strerror(max(0, number))}.")
