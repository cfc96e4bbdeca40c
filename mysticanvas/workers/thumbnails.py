"""`python -m mysticanvas.workers.thumbnails …`: decodes pictures and writes their thumbnails.

Decoders meet hostile files, so this is a process of its own. Orders are lines of JSON on standard
input, answers go to the pipe that `--ready-fd` names.

One thread reads, and ends the process at the end of its input; one computes; one waits for the
disk, which takes as long as the computing of a small picture. Files that got ready meanwhile are
synced together: a file system commits in one go what is asked for at the same time.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import hashlib
import io
import itertools
import os
import queue
import resource
import stat
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import Image

from mysticanvas import durable, processes
from mysticanvas.contracts import thumbnails
from mysticanvas.contracts.images import FileRecord
from mysticanvas.contracts.thumbnails import ThumbnailAnswer, ThumbnailOrder
from mysticanvas.logs import capture
from mysticanvas.logs.line import render as log_line
from mysticanvas.settings import MAX_SIDE_PX

FORMATS = ("PNG",)
"""Those of pictures. No other decoder is let near a file: some start other programs."""
WEBP = {"quality": 80, "method": 2}
MAX_PIXELS = MAX_SIDE_PX**2
MEMORY_BYTES = 4 << 30
"""Enough for the largest picture that is let in, in any mode, and an end to anything else."""
_SYNCS = 8
_GROUP = 64
_OF_THE_FILE = {errno.ELOOP, errno.EINVAL}
"""Errors of the system that are the file's own doing: it is a link, or sends a decoder astray."""


class Unfit(Exception):
    """The file is no picture that can have a thumbnail; the text says why."""


class Unread(Exception):
    """The file cannot be read at this time, which says nothing about the picture."""


class Encoded(NamedTuple):
    """A thumbnail that is not on disk yet."""

    record: FileRecord
    content: bytes


def encode(home: Path, order: ThumbnailOrder) -> list[Encoded]:
    """The thumbnails of a picture, largest first.

    Raises:
        Unfit: it cannot be decoded, or must not.
        Unread: its file is not there, or the system had no memory, or could not read it.
    """
    try:
        with _regular(home, order.source) as file, Image.open(file, formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise Unfit(f"it has more than {MAX_PIXELS:,} pixels")
            return list(_scaled(picture, order.image_id))
    # A decoder may raise anything on a hostile file.
    except Exception as error:
        reason = str(error).replace(str(home), "…") or type(error).__name__
        raise (Unread if _passing(error) else Unfit)(reason) from error


def existing(home: Path, order: ThumbnailOrder) -> list[FileRecord]:
    """The thumbnails of a picture that are there, if all are and every one is sound: a store that
    was built again from files of pictures knows of none."""
    try:
        return [_sound(home, order.image_id, size) for size in thumbnails.SIZES]
    # As in `encode`; whatever it is, they are made anew.
    except Exception:  # noqa: BLE001
        return []


def _sound(home: Path, image_id: str, size: int) -> FileRecord:
    with _regular(home, thumbnails.path(image_id, size)) as file:
        content = file.read()
    with Image.open(io.BytesIO(content), formats=("WEBP",)) as small:
        if max(small.size) > size:
            raise Unfit("it is too large for a thumbnail")
        small.load()
        return _record(image_id, size, small, content)


def _record(image_id: str, size: int, small: Image.Image, content: bytes) -> FileRecord:
    return FileRecord(
        kind=thumbnails.SIZES[size],
        path=thumbnails.path(image_id, size),
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        width=small.width,
        height=small.height,
    )


def _passing(error: Exception) -> bool:
    """Whether another time may go better: the system said no, and not a decoder, whose errors have
    no number."""
    if isinstance(error, OSError):
        return error.errno is not None and error.errno not in _OF_THE_FILE
    return isinstance(error, MemoryError)


def _scaled(picture: Image.Image, image_id: str) -> Iterator[Encoded]:
    picture.load()
    # A palette would be scaled without smoothing.
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    small: Image.Image = picture if picture.mode in (mode, "L") else picture.convert(mode)
    for size in sorted(thumbnails.SIZES, reverse=True):
        small.thumbnail((size, size))
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", **WEBP)
        content = buffer.getvalue()
        yield Encoded(_record(image_id, size, small, content), content)


@contextlib.contextmanager
def _regular(home: Path, source: str) -> Iterator[BinaryIO]:
    """The file, if it is one, and in the home whichever way its path goes."""
    path = home / source
    if not path.parent.resolve().is_relative_to(home.resolve()):
        raise Unfit("it is not in the home")
    # A pipe would block whoever opens it, and a link may lead anywhere.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Unfit("it is not a regular file")
        yield file


class Writer:
    """Puts thumbnails on disk and answers for them, on a thread of its own."""

    def __init__(self, home: Path, answers: BinaryIO) -> None:
        self._home = home
        self._answers = answers
        self._ready: queue.Queue[tuple[ThumbnailAnswer, list[Encoded]]] = queue.Queue(_GROUP)
        self._syncs = ThreadPoolExecutor(_SYNCS, thread_name_prefix="sync")
        threading.Thread(target=self._run, name="writer", daemon=True).start()

    def put(self, answer: ThumbnailAnswer, encoded: Sequence[Encoded] = ()) -> None:
        """Have the files written, and then the answer given."""
        self._ready.put((answer, list(encoded)))

    def _run(self) -> None:
        while True:
            group = [self._ready.get()]
            with contextlib.suppress(queue.Empty):
                while len(group) < _GROUP:
                    group.append(self._ready.get_nowait())
            error = self._place([each for _, encoded in group for each in encoded])
            lines = [
                (answer if not encoded else _settled(answer, encoded, error)).model_dump_json()
                for answer, encoded in group
            ]
            self._answers.write("".join(f"{line}\n" for line in lines).encode())
            self._answers.flush()

    def _place(self, encoded: Sequence[Encoded]) -> int:
        """Make the files last: written, synced, renamed, and their folders synced; the number of
        the error if that fails, and then any of them may be missing."""
        fresh = [
            self._home / f"{each.record.path}.{os.getpid()}{durable.TEMPORARY}" for each in encoded
        ]
        final = [self._home / each.record.path for each in encoded]
        try:
            for folder in {path.parent for path in final}:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            list(self._syncs.map(durable.write, fresh, (each.content for each in encoded)))
            for temporary, path in zip(fresh, final, strict=True):
                temporary.replace(path)
            list(self._syncs.map(durable.sync_folder, {path.parent for path in final}))
        except OSError as error:
            for temporary in fresh:
                with contextlib.suppress(OSError):
                    temporary.unlink()
            return error.errno or -1
        return 0


def _settled(answer: ThumbnailAnswer, encoded: Sequence[Encoded], error: int) -> ThumbnailAnswer:
    files = [] if error else [each.record for each in encoded]
    return answer.model_copy(update={"files": files, "errno": error})


def _log_unfit(order: ThumbnailOrder, reason: str) -> None:
    whose = {"request_id": order.request_id} if order.request_id else {}
    found = {"image_id": order.image_id, "reason": reason, **whose}
    capture.put(log_line("thumbnails", "warning", "thumbnail_unfit", **found))


Orders = queue.PriorityQueue[tuple[bool, int, ThumbnailOrder]]


def _read(orders: Orders) -> None:
    """Take orders in, urgent ones first; the end of the input is the end of us."""
    count = itertools.count()
    for line in sys.stdin.buffer:
        if line.strip():
            order = ThumbnailOrder.model_validate_json(line)
            orders.put((not order.urgent, next(count), order))
    os._exit(0)


def main() -> None:
    """Carry out orders until the parent hangs up or is gone."""
    parser = argparse.ArgumentParser(prog="python -m mysticanvas.workers.thumbnails")
    parser.add_argument("--home", required=True, type=Path, help="what paths are relative to")
    parser.add_argument("--ready-fd", required=True, type=int, help="pipe for the answers")
    parser.add_argument("--parent-pid", required=True, type=int, help="process to end with")
    arguments = parser.parse_args()
    processes.die_with_parent(arguments.parent_pid)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    orders: Orders = queue.PriorityQueue()
    threading.Thread(target=_read, args=(orders,), name="reader", daemon=True).start()
    writer = Writer(arguments.home, os.fdopen(arguments.ready_fd, "wb"))
    while True:
        _, _, order = orders.get()
        answer = ThumbnailAnswer(image_id=order.image_id, files=existing(arguments.home, order))
        if answer.files:
            writer.put(answer)
            continue
        try:
            writer.put(answer, encode(arguments.home, order))
        except Unfit as reason:
            _log_unfit(order, str(reason))
            writer.put(answer.model_copy(update={"unfit": str(reason)}))
        except Unread as reason:
            writer.put(answer.model_copy(update={"unread": str(reason)}))


if __name__ == "__main__":
    main()
