"""The store again, from the image files alone: each PNG says what it is."""

from __future__ import annotations

import hashlib
import stat
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

from mysticanvas.contracts import picture
from mysticanvas.contracts.images import FileRecord
from mysticanvas.contracts.picture import PictureText
from mysticanvas.errors import StoreError, StoreFull
from mysticanvas.settings import HomePaths
from mysticanvas.store import parts, times, tombstones
from mysticanvas.store.images import NewImage
from mysticanvas.store.store import Store

T = TypeVar("T")

BATCH = 500
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    ArithmeticError,
    struct.error,
    zlib.error,
)
"""What Pillow raises for a damaged or hostile header, and the file system for no file."""


class RebuildReport(NamedTuple):
    """What became of the files."""

    added: int
    known: int
    """Pictures that the store had before."""
    skipped: list[str]
    """Files that could not be recorded: path and reason."""


class _Found(NamedTuple):
    """A picture's place in the order of recording, and its file."""

    created_at: datetime
    job_id: str
    batch_index: int
    image_id: str
    path: Path


class _Header(NamedTuple):
    """What a PNG says before its pixels."""

    text: PictureText
    width: int
    height: int
    mode: str


class _Unfit(Exception):
    """The file cannot be recorded; the text says why."""


def _nobody() -> None:
    """Who waits for no sign."""


def rebuild(
    store: Store, images_folder: Path, home: Path, at_work: Callable[[], None] = _nobody
) -> RebuildReport:
    """Record the pictures of a folder that the store does not know, oldest first.

    No pixel is decoded. Pictures that are known, deleted ones among them, stay as they are, so it
    can be run at any time.

    Args:
        images_folder: looked through with its subfolders; links are not followed.
        home: what the recorded paths are relative to.
        at_work: called for each file, twice.

    Raises:
        StoreError: the database failed; the batches before are kept.
    """
    return record(store, images_folder.rglob("*.png"), images_folder, home, at_work)


def record(
    store: Store,
    files: Iterable[Path],
    images_folder: Path,
    home: Path,
    at_work: Callable[[], None] = _nobody,
) -> RebuildReport:
    """The same for some files of that folder."""
    found, skipped = _survey(_telling(files, at_work), tombstones.read(images_folder), home)
    added = known = 0
    # Each file is read again when its batch comes: all recipes may be more than fits in memory.
    for start in range(0, len(found), BATCH):
        batch = found[start : start + BATCH]
        taken = store.images.known([each.image_id for each in batch])
        fresh = [each for each in batch if each.image_id not in taken]
        new, unfit = _load(_telling(fresh, at_work), home)
        refused = _add(store, new)
        added += len(new) - len(refused)
        known += sum(each.image_id in taken for each in batch)
        skipped += unfit + refused
    store.checkpoint()
    return RebuildReport(added, known, skipped)


def picture_in(path: Path) -> PictureText | None:
    """What a file says of the picture in it; None if it is none of ours."""
    try:
        return _read(path).text
    except _Unfit:
        return None


def if_demanded(
    store: Store, paths: HomePaths, at_work: Callable[[], None] = _nobody
) -> RebuildReport | None:
    """Rebuild the store of a home if that was demanded, by its making or by a restore, and is not
    done yet, in whichever process; None if not.

    Raises:
        StoreError: the database failed; the demand stays.
    """
    if not paths.rebuild_demand.exists():
        return None
    report = rebuild(store, paths.images, paths.root, at_work)
    paths.rebuild_demand.unlink()
    return report


def _telling(items: Iterable[T], at_work: Callable[[], None]) -> Iterator[T]:
    for item in items:
        at_work()
        yield item


def _survey(files: Iterable[Path], deleted: set[str], home: Path) -> tuple[list[_Found], list[str]]:
    """The pictures in the order of their making, and the files that are none."""
    found, skipped = [], []
    for path in files:
        try:
            text = _read(path).text
            if text.image_id in deleted:
                raise _Unfit("the picture was deleted")
            created_at, index = times.to_db(text.created_at), text.recipe.batch_index
            found.append(_Found(created_at, text.job_id, index, text.image_id, path))
        except _Unfit as reason:
            skipped.append(_skipped(path, home, reason))
    return sorted(found), sorted(skipped)


def _load(batch: Iterable[_Found], home: Path) -> tuple[list[NewImage], list[str]]:
    """The pictures of a batch, whole, and the files that are not fit for it."""
    new: dict[str, NewImage] = {}
    unfit = []
    for each in batch:
        try:
            image = _new_image(each.path, home)
            if image.id in new:
                raise _Unfit("another file holds the same picture")
            new[image.id] = image
        except _Unfit as reason:
            unfit.append(_skipped(each.path, home, reason))
    return list(new.values()), unfit


def _add(store: Store, new: list[NewImage]) -> list[str]:
    """Record a batch; what the database refused."""
    try:
        store.images.add(new)
    except StoreFull:
        raise
    except StoreError as error:
        if len(new) == 1:
            return [f"{new[0].file.path}: {error.detail}"]
        # One bad picture, such as a second one for a place in a batch, costs the others nothing.
        return [line for image in new for line in _add(store, [image])]
    return []


def _new_image(path: Path, home: Path) -> NewImage:
    header = _read(path)
    text = header.text
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != path.stem:
        raise _Unfit("its content is not what its name, a SHA-256, says")
    return NewImage(
        id=text.image_id,
        job_id=text.job_id,
        batch_index=text.recipe.batch_index,
        project=text.project,
        parent=text.parent,
        source=text.source,
        recipe=text.recipe,
        mode=header.mode,
        pixels_sha256=text.pixels_sha256,
        tags=tuple(text.tags),
        file=FileRecord(
            path=path.relative_to(home).as_posix(),
            sha256=digest,
            bytes=path.stat().st_size,
            width=header.width,
            height=header.height,
        ),
        created_at=text.created_at,
    )


def _read(path: Path) -> _Header:
    """The header of a PNG of ours.

    `PngImageFile` rather than `Image.open`: nothing is decoded, so a picture of any size will do.
    """
    # Late: 8 MB for every orchestrator, and hardly one rebuilds anything.
    from PIL.PngImagePlugin import PngImageFile

    try:
        # A pipe would block whoever opens it.
        if not stat.S_ISREG(path.lstat().st_mode):
            raise _Unfit("it is not a regular file")
        with path.open("rb") as file, PngImageFile(file) as image:
            text = picture.read(image.info)
            width, height, mode = *image.size, image.mode
    except _UNREADABLE as error:
        raise _Unfit(f"it cannot be read ({error})") from error
    if text is None:
        raise _Unfit("it holds no recipe of ours")
    _check(text)
    return _Header(text, width, height, mode)


def _check(text: PictureText) -> None:
    """Refuse what is well-formed and still cannot be recorded."""
    if not all(map(parts.full_id, filter(None, (text.image_id, text.job_id, text.parent)))):
        raise _Unfit("an id in it is none")
    try:
        _ = text.recipe.hash, times.to_db(text.created_at)
    except ValueError as error:
        raise _Unfit("a number in its recipe is none") from error
    except OverflowError as error:
        raise _Unfit("its time is out of range") from error


def _skipped(path: Path, home: Path, reason: _Unfit) -> str:
    return f"{path.relative_to(home).as_posix()}: {reason}"
